import json
import math
import resource
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import celeba_vae
from celeba_vae.model.pretrained import _largest_file, to_pixels
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams
from celeba_vae.runtime.errors import UserError
from tests.damage import REPLACEMENTS, damaged
from tests.support import save_model


@pytest.fixture
def saved(tmp_path: Path, model_params: Callable[..., ModelParams]) -> Path:
    params = model_params()
    save_model(VAE(params, size=32, seed=1), params, tmp_path / "m")
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
    usual = model.sample_z(mu, log_var, NOISE)
    assert np.allclose(usual, mu + np.exp(log_var / 2) * NOISE, atol=1e-6)
    model.set_noise_factor(0)
    assert np.array_equal(model.sample_z(mu, log_var, NOISE), mu)
    assert np.array_equal(model.sample_z(mu, log_var + 1000, NOISE), mu)

    save_model(model.vae, model_params(), saved)
    still = celeba_vae.load(saved)
    assert np.array_equal(still.sample_z(mu, log_var, NOISE), mu)
    still.set_noise_factor(2.5)
    still.vae.save_weights(saved / "vae.weights.h5")
    assert float(celeba_vae.load(saved).vae.noise_factor) == 2.5
    still.set_noise_factor(1)
    assert np.array_equal(still.sample_z(mu, log_var, NOISE), usual)


@pytest.mark.parametrize("factor", [-0.1, 1000.1, np.nan, np.inf])
def test_wrong_noise_factors_are_refused(saved: Path, factor: float) -> None:
    with pytest.raises(ValueError, match=r"noise factor must be from 0 to 1000, not"):
        celeba_vae.load(saved).set_noise_factor(factor)


def test_the_plain_autoencoder_is_loaded_and_has_no_noise(
    tmp_path: Path, model_params: Callable[..., ModelParams], random_images: np.ndarray
) -> None:
    params = model_params(variational=False)
    vae = VAE(params, size=32, seed=1)
    save_model(vae, params, tmp_path)
    model = celeba_vae.load(tmp_path)
    mu, log_var = model.encode(random_images)
    assert log_var is None
    assert not model.variational
    assert np.allclose(mu, vae.encoder(random_images / np.float32(255)), atol=1e-6)
    assert np.array_equal(model.sample_z(mu, None, NOISE), mu)
    with pytest.raises(ValueError, match="has no noise"):
        model.set_noise_factor(0)


def test_a_learned_sigma_is_saved_with_the_model(
    tmp_path: Path, model_params: Callable[..., ModelParams]
) -> None:
    vae = VAE(model_params(), size=32, seed=1, learned_sigma=True)
    vae.log_sigma.assign(-1.5)
    save_model(vae, model_params(), tmp_path)
    assert float(celeba_vae.load(tmp_path).vae.log_sigma) == -1.5


def test_pixels_of_extreme_logits() -> None:
    logits = np.array([-1000.0, -np.log(3), 0.0, np.log(3), 1000.0], np.float32)
    assert to_pixels(logits).tolist() == [0, 64, 128, 191, 255]


def test_missing_and_broken_models_are_named(saved: Path) -> None:
    with pytest.raises(UserError, match="no such file; `dvc repro train` makes a model"):
        celeba_vae.load(saved / "elsewhere")
    weights = saved / "vae.weights.h5"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"vae\.weights\.h5: (is damaged|does not fit)"):
        celeba_vae.load(saved)
    weights.unlink()
    with pytest.raises(UserError, match=r"vae\.weights\.h5: no such file"):
        celeba_vae.load(saved)
    description = json.loads((saved / "architecture.json").read_text())
    (saved / "architecture.json").write_text("[]")
    with pytest.raises(UserError, match="is damaged, or not a JSON object"):
        celeba_vae.load(saved)
    broken_ones: list[object] = [{}, description | {"model": {"z_dim": 3}}]
    for broken in broken_ones:
        (saved / "architecture.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match="is not a description of a model"):
            celeba_vae.load(saved)


def describe(folder: Path, **changes: object) -> None:
    path = folder / "architecture.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"z_dim": 7},
            r"does not fit architecture\.json: the shapes differ|has .* bytes of weights",
        ),
        ({"z_dim": 5}, r"does not fit architecture\.json: the shapes differ"),
        ({"filters": [8, 4]}, r"does not fit architecture\.json: "),
        (
            {"filters": [64, 64]},
            r"that model has [\d,]+ bytes of weights, the file [\d,]+ bytes; `dv",
        ),
        (
            {"filters": [16384, 16384], "kernel": 15},
            r"architecture\.json: the model needs 483.* GB of memory",
        ),
        ({"strides": [3, 2]}, r"architecture\.json: .*product of model.strides does not divide"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    saved: Path,
    model_params: Callable[..., ModelParams],
    changes: dict[str, object],
    expected: str,
) -> None:
    describe(saved, model=model_params(**changes).model_dump())
    with pytest.raises(UserError, match=expected) as caught:
        celeba_vae.load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", 7), ("size", 2**40), ("size", 96.0), ("crop", 10**9), ("threads", 10**6)],
)
def test_impossible_descriptions_are_refused(saved: Path, key: str, value: float) -> None:
    describe(saved, **{key: value})
    with pytest.raises(UserError, match=rf"is not a description of a model: {key}: "):
        celeba_vae.load(saved)


def set_weight(path: Path, name: str, value: float) -> None:
    """Set the first value of a weight in a file."""
    with h5py.File(path, "r+") as file:
        values = file[name][...]
        values.flat[0] = value
        file[name][...] = values


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("encoder/layers/conv2d/vars/0", np.nan, "conv_1/kernel hold NaN or infinity"),
        ("decoder/layers/dense/vars/1", -np.inf, "/bias hold NaN or infinity"),
        ("encoder/layers/batch_normalization/vars/3", -1, "moving_variance hold variances below 0"),
        ("vars/0", np.nan, "hold NaN or infinity"),
        ("vars/0", -1, "the noise factor must be from 0 to 1000"),
    ],
)
def test_impossible_weights_are_refused_by_the_name_of_the_layer(
    saved: Path, name: str, value: float, expected: str
) -> None:
    set_weight(saved / "vae.weights.h5", name, value)
    with pytest.raises(UserError, match=rf"vae\.weights\.h5: .*{expected}") as caught:
        celeba_vae.load(saved)
    assert "\n" not in str(caught.value)


def test_values_beyond_float32_are_refused_where_they_come_out(
    saved: Path, random_images: np.ndarray
) -> None:
    for name in ("encoder/layers/dense/vars/0", "decoder/layers/dense/vars/0"):
        set_weight(saved / "vae.weights.h5", name, 3e38)
    model = celeba_vae.load(saved)
    with pytest.raises(UserError, match="the Decoder gives NaN or infinity"):
        model.decode(np.full((1, 6), 1e5))


def test_weights_that_are_nan_are_not_saved(
    tmp_path: Path, model_params: Callable[..., ModelParams]
) -> None:
    vae = VAE(model_params(), size=32, seed=1)
    vae.encoder.weights[0].assign(np.full(vae.encoder.weights[0].shape, np.nan))
    with pytest.raises(UserError, match=r"conv_1/kernel hold NaN .* smaller train.learning_rate"):
        save_model(vae, model_params(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_in_another_file_or_in_none_are_refused(saved: Path) -> None:
    weights = saved / "vae.weights.h5"
    name = "encoder/layers/conv2d/vars/0"
    whole = weights.read_bytes()
    with h5py.File(weights, "r+") as file:
        shape = file[name].shape
        del file[name]
        bytes_of = int(4 * np.prod(shape))
        file.create_dataset(name, shape, np.float32, external=[("/etc/passwd", 0, bytes_of)])
    with pytest.raises(UserError, match="is damaged, or not weights of a model"):
        celeba_vae.load(saved)
    weights.unlink()
    weights.write_bytes(whole)
    with h5py.File(weights, "r+") as file:
        # Zeros of any number, of which none is in the file.
        file.create_dataset("more", (10**12,), np.float32)
    with pytest.raises(UserError, match="is damaged, or not weights of a model"):
        celeba_vae.load(saved)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("found", REPLACEMENTS)
@pytest.mark.parametrize("name", ["architecture.json", "vae.weights.h5"])
def test_what_is_no_file_gets_one_line_at_once(saved: Path, name: str, found: str) -> None:
    REPLACEMENTS[found](saved / name)
    if (name, found) == ("vae.weights.h5", "terabytes"):
        return  # HDF5 looks no further than its own end.
    with pytest.raises(UserError, match=rf"{name}: [^\n]*; `dvc repro train`"):
        celeba_vae.load(saved)


def test_a_nearly_full_disk_leaves_nothing_half_written(
    tmp_path: Path, saved: Path, model_params: Callable[..., ModelParams]
) -> None:
    vae = VAE(model_params(), size=32, seed=1)
    whole = (saved / "vae.weights.h5").stat().st_size
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (1000, sum(4 * math.prod(weight.shape) for weight in vae.weights), whole - 1):
        # No file may grow beyond a limit: for HDF5 the same as a disk that is full.
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                save_model(vae, model_params(), tmp_path / "full")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        assert caught.value.filename == str(tmp_path / "full")
        assert not list((tmp_path / "full").iterdir())


@pytest.mark.parametrize(
    "changes", [{}, {"blocks": "residual"}, {"variational": False, "z_dim": 1, "filters": [1, 1]}]
)
def test_no_file_of_weights_is_larger_than_the_room_that_is_asked_for(
    tmp_path: Path, model_params: Callable[..., ModelParams], changes: dict[str, object]
) -> None:
    vae = VAE(model_params(**changes), size=32, seed=1)
    save_model(vae, model_params(**changes), tmp_path)
    assert (tmp_path / "vae.weights.h5").stat().st_size < _largest_file(vae)


def _load_damaged(folder: Path, data: st.DataObject) -> None:
    """Load a model with a damaged file: it works, or it is refused in one line."""
    name = data.draw(st.sampled_from(["architecture.json", "vae.weights.h5"]))
    whole = (folder / name).read_bytes()
    (folder / name).unlink()  # or HDF5 may know the file by its inode
    (folder / name).write_bytes(data.draw(damaged(whole)))
    try:
        model = celeba_vae.load(folder)
        assert model.decode(np.zeros((1, model.z_dim))).shape == (1, model.size, model.size, 3)
    except UserError as error:
        assert "\n" not in str(error)
    finally:
        (folder / name).write_bytes(whole)


FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@settings(FUZZ, max_examples=15)
@given(data=st.data())
def test_a_damaged_model_works_or_is_refused(saved: Path, data: st.DataObject) -> None:
    _load_damaged(saved, data)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(FUZZ, max_examples=3000)
@given(data=st.data())
def test_many_damaged_models_work_or_are_refused(saved: Path, data: st.DataObject) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _load_damaged(saved, data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
