"""A project of three tiny splits, and an untrained model."""

from pathlib import Path

import numpy as np
import pytest

from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import Params
from tests.support import untrained, write_shards

SIZES = {"train": 24, "validation": 8, "test": 8}


@pytest.fixture(scope="module")
def model(tiny: Params) -> Pretrained:
    """An untrained plain autoencoder."""
    # Not above: pytest loads this file before TensorFlow is configured.
    from celeba_vae.model.vae import VAE

    params = tiny.model.model_copy(update={"variational": False})
    vae = VAE(params, size=32, seed=1)
    return untrained(vae, crop=148)


@pytest.fixture
def project(tmp_path: Path, random_images: np.ndarray) -> Path:
    """Shards and z-points: six dimensions, of which the first tells who smiles."""
    parts = np.split(random_images, np.cumsum(list(SIZES.values()))[:-1])
    write_shards(tmp_path / "shards", dict(zip(SIZES, parts, strict=True)))
    (tmp_path / "zpoints").mkdir()
    generator = np.random.default_rng(0)
    for split, count in SIZES.items():
        mu = generator.normal(size=(count, 6))
        mu[:, 0] += 4 * (np.arange(count) % 2)
        np.save(tmp_path / f"zpoints/{split}_mu.npy", mu.astype(np.float32))
    return tmp_path


@pytest.fixture
def labelled(project: Path) -> Path:
    """The project with attributes and factors: odd rows smile and are turned to the right."""
    path = project / "shards/images.csv"
    header, *rows = path.read_text().splitlines()
    lines = [f"{header},Smiling,Male,factor_yaw,factor_hat"]
    for row in rows:
        odd = int(row.split(",")[2]) % 2
        lines.append(f"{row},{2 * odd - 1},-1,{20.0 * odd:.4f},none")
    path.write_text("\n".join(lines) + "\n")
    return project
