import io
from functools import partialmethod

import numpy as np
import pytest
from PIL import Image

from celeba_vae.generate.run import generate_faces
from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.metrics.quality import image_quality, summary
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.model.vae import VAE
from celeba_vae.params import Params
from celeba_vae.runtime.outs import Result
from celeba_vae.shards.read import Split
from tests.support import untrained


@pytest.fixture(scope="module")
def model(tiny: Params) -> Pretrained:
    vae = VAE(tiny.model, size=32, seed=1)
    return untrained(vae)


def generated(model: Pretrained, images: np.ndarray, tiny: Params) -> Result:
    """Results for validation images in two shards."""
    validation = Split((images[:3], images[3:]), np.array([0, 3, len(images)]))
    z = Cloud(3 * np.random.default_rng(1).normal(size=(50, model.z_dim)).astype(np.float32))
    samplers, _ = fit_samplers({"train": z, "validation": z, "test": z}, seed=1)
    return generate_faces(model, samplers, validation, tiny.generate)


@pytest.fixture(scope="module")
def result(model: Pretrained, random_images: np.ndarray, tiny: Params) -> Result:
    return generated(model, random_images, tiny)


def test_every_grid_is_there_as_picture_and_as_faces(result: Result) -> None:
    names = ("random_normal", "random_gaussian", "random_chosen", "walks", "reconstructions")
    files = [f"{name}.{ending}" for name in names for ending in ("png", "npy")]
    assert sorted(result.outs) == sorted([*files, "overview.png"])
    for name in names:
        # Two rows of three faces each.
        faces = result.outs[f"{name}.npy"]
        grid = np.asarray(Image.open(io.BytesIO(result.outs[f"{name}.png"])))
        assert faces.shape == (6, 32, 32, 3)
        assert grid.shape == (2 * 34 - 2, 3 * 34 - 2, 3)
        assert np.array_equal(grid[34:66, 68:100], faces[5])
    overview = Image.open(io.BytesIO(result.outs["overview.png"]))
    assert overview.height == 5 * 34 - 2


def test_reconstructions_stand_below_their_images(
    result: Result, model: Pretrained, random_images: np.ndarray
) -> None:
    pairs = result.outs["reconstructions.npy"]
    for original, reconstruction in zip(pairs[:3], pairs[3:], strict=True):
        (row,) = np.flatnonzero((random_images == original).all(axis=(1, 2, 3)))
        expected = model.reconstruct(random_images[row : row + 1])[0].astype(int)
        assert np.abs(reconstruction - expected).max() <= 1


def test_the_quality_is_that_of_all_validation_images(
    result: Result, model: Pretrained, random_images: np.ndarray
) -> None:
    expected = summary(
        image_quality(random_images, model.reconstruct(random_images)), values=32 * 32 * 3
    )
    assert {name: result.metrics[name] for name in expected} == expected
    assert result.metrics["sampler"] in ("normal", "gaussian", "gmm", "ellipse")


def test_no_more_images_than_a_block_are_reconstructed_at_once(
    result: Result,
    model: Pretrained,
    random_images: np.ndarray,
    tiny: Params,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []

    def reconstruct(self: Pretrained, images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        mu, _ = self.encode(images)
        return self.decode(mu)

    monkeypatch.setattr(Pretrained, "reconstruct", reconstruct)
    monkeypatch.setattr(Split, "blocks", partialmethod(Split.blocks, size=16))
    again = generated(model, random_images, tiny)
    assert sizes == [16, 16, 8]
    for name, value in result.metrics.items():
        if isinstance(value, float):
            assert again.metrics[name] == pytest.approx(value, rel=1e-4)
    shown = again.outs["reconstructions.npy"].astype(int) - result.outs["reconstructions.npy"]
    assert np.abs(shown).max() <= 1


def test_a_small_split_repeats_its_images(
    model: Pretrained, random_images: np.ndarray, tiny: Params
) -> None:
    pairs = generated(model, random_images[:4], tiny).outs["reconstructions.npy"]
    assert pairs.shape == (6, 32, 32, 3)
    larger = tiny.model_copy(
        update={"generate": tiny.generate.model_copy(update={"rows": 4, "columns": 3})}
    )
    pairs = generated(model, random_images[:4], larger).outs["reconstructions.npy"]
    rows = pairs.reshape(4, 3, 32, 32, 3)
    shown = rows[[0, 2]].reshape(6, 32, 32, 3)
    assert np.array_equal(shown[:2], shown[4:])
    assert np.array_equal(rows[[1, 3]].reshape(6, 32, 32, 3)[:2], rows[3, 1:])
