import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import celeba_vae
from celeba_vae.model.pretrained import save, to_pixels
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams
from celeba_vae.runtime.errors import UserError

MANIFEST = {"image_shape": [32, 32, 3], "crop": None, "filter": "box"}


@pytest.fixture
def saved(tmp_path: Path, model_params: Callable[..., ModelParams]) -> Path:
    params = model_params()
    save(VAE(params, size=32, seed=1), params, manifest=MANIFEST, threads=2, folder=tmp_path / "m")
    return tmp_path / "m"


def test_what_was_saved_is_loaded(
    saved: Path, model_params: Callable[..., ModelParams], random_images: np.ndarray
) -> None:
    model = celeba_vae.load(saved)
    assert (model.size, model.crop, model.filter, model.z_dim) == (32, None, "box", 6)
    vae = VAE(model_params(), size=32, seed=1)
    mu, log_var = model.encode(random_images)
    expected = vae.encoder(random_images / np.float32(255))
    assert np.allclose(mu, expected[0], atol=1e-6)
    assert log_var is not None
    assert np.allclose(log_var, expected[1], atol=1e-6)
    pixels = 255 / (1 + np.exp(-np.asarray(vae.decoder(mu), np.float64)))
    assert model.decode(mu).dtype == np.uint8
    assert np.abs(model.decode(mu) - pixels).max() <= 0.51
    assert model.decode_mean(mu).dtype == np.float32
    assert np.allclose(255 * model.decode_mean(mu), pixels, atol=1e-3)


def test_many_images_go_through_in_batches(saved: Path, random_images: np.ndarray) -> None:
    model = celeba_vae.load(saved)
    many = np.tile(random_images, (8, 1, 1, 1))[:301]
    mu, log_var = model.encode(many)
    assert log_var is not None
    assert mu.shape == log_var.shape == (301, 6)
    assert np.allclose(mu[:40], model.encode(random_images)[0], atol=1e-5)
    assert model.decode(mu).shape == many.shape


def test_no_images_give_no_z_points(saved: Path, random_images: np.ndarray) -> None:
    model = celeba_vae.load(saved)
    assert model.encode(random_images[:0])[0].shape == (0, 6)
    assert model.decode(np.empty((0, 6))).shape == (0, 32, 32, 3)


def test_wrong_arrays_are_refused(saved: Path, random_images: np.ndarray) -> None:
    model = celeba_vae.load(saved)
    for wrong in (random_images / 255, random_images[0], random_images[:, :16]):
        with pytest.raises(ValueError, match=r"images must be uint8 of shape \(n, 32, 32, 3\)"):
            model.encode(wrong)
    with pytest.raises(ValueError, match=r"z must have the shape \(n, 6\)"):
        model.decode(np.zeros((3, 7)))


NOISE = np.random.default_rng(2).standard_normal((40, 6)).astype(np.float32)


def test_the_noise_factor_is_switched_at_once_and_survives_save_and_load(
    saved: Path, model_params: Callable[..., ModelParams], random_images: np.ndarray
) -> None:
    model = celeba_vae.load(saved)
    mu, log_var = model.encode(random_images)
    assert log_var is not None
    usual = model.sample(mu, log_var, NOISE)
    assert np.allclose(usual, mu + np.exp(log_var / 2) * NOISE, atol=1e-6)
    model.set_noise_factor(0)
    assert np.array_equal(model.sample(mu, log_var, NOISE), mu)
    assert np.array_equal(model.sample(mu, log_var + 1000, NOISE), mu)

    save(model.vae, model_params(), manifest=MANIFEST, threads=2, folder=saved)
    still = celeba_vae.load(saved)
    assert np.array_equal(still.sample(mu, log_var, NOISE), mu)
    still.set_noise_factor(2.5)
    still.vae.save_weights(saved / "vae.weights.h5")
    assert float(celeba_vae.load(saved).vae.noise_factor) == 2.5
    still.set_noise_factor(1)
    assert np.array_equal(still.sample(mu, log_var, NOISE), usual)


@pytest.mark.parametrize("factor", [-0.1, 1000.1, np.nan, np.inf])
def test_wrong_noise_factors_are_refused(saved: Path, factor: float) -> None:
    with pytest.raises(ValueError, match=r"noise factor must be from 0 to 1000, not"):
        celeba_vae.load(saved).set_noise_factor(factor)


def test_the_plain_autoencoder_is_loaded_and_has_no_noise(
    tmp_path: Path, model_params: Callable[..., ModelParams], random_images: np.ndarray
) -> None:
    params = model_params(variational=False)
    vae = VAE(params, size=32, seed=1)
    save(vae, params, manifest=MANIFEST, threads=2, folder=tmp_path)
    model = celeba_vae.load(tmp_path)
    mu, log_var = model.encode(random_images)
    assert log_var is None
    assert not model.variational
    assert np.allclose(mu, vae.encoder(random_images / np.float32(255)), atol=1e-6)
    assert np.array_equal(model.sample(mu, None, NOISE), mu)
    with pytest.raises(ValueError, match="has no noise"):
        model.set_noise_factor(0)


def test_a_learned_sigma_is_saved_with_the_model(
    tmp_path: Path, model_params: Callable[..., ModelParams]
) -> None:
    vae = VAE(model_params(), size=32, seed=1, learned_sigma=True)
    vae.log_sigma.assign(-1.5)
    save(vae, model_params(), manifest=MANIFEST, threads=2, folder=tmp_path)
    assert float(celeba_vae.load(tmp_path).vae.log_sigma) == -1.5


def test_pixels_of_extreme_logits() -> None:
    logits = np.array([-1000.0, -np.log(3), 0.0, np.log(3), 1000.0], np.float32)
    assert to_pixels(logits).tolist() == [0, 64, 128, 191, 255]


def test_missing_and_broken_models_are_named(saved: Path) -> None:
    with pytest.raises(UserError, match="no trained model there"):
        celeba_vae.load(saved / "elsewhere")
    weights = saved / "vae.weights.h5"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"vae\.weights\.h5: cannot be loaded"):
        celeba_vae.load(saved)
    weights.unlink()
    with pytest.raises(UserError, match=r"vae\.weights\.h5: cannot be loaded"):
        celeba_vae.load(saved)
    description = json.loads((saved / "architecture.json").read_text())
    broken_ones: list[object] = [{}, description | {"model": {"z_dim": 3}}, []]
    for broken in broken_ones:
        (saved / "architecture.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match="is not a description of a model"):
            celeba_vae.load(saved)


def test_weights_of_another_architecture_are_refused(
    saved: Path, model_params: Callable[..., ModelParams]
) -> None:
    description = json.loads((saved / "architecture.json").read_text())
    description["model"] = model_params(z_dim=7).model_dump()
    (saved / "architecture.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="cannot be loaded"):
        celeba_vae.load(saved)
