from pathlib import Path

import numpy as np
import pytest

from celeba_vae.latent.stored import array_file, load_mu
from celeba_vae.runtime.errors import UserError


def test_mu_comes_back_in_64_bits(tmp_path: Path) -> None:
    mu = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    np.save(tmp_path / "test_mu.npy", mu)
    loaded = load_mu(tmp_path, "test", images=8, z_dim=6)
    assert loaded.dtype == np.float64
    assert np.array_equal(loaded, mu)


def test_files_are_named_by_split_and_array() -> None:
    assert array_file("validation", "log_var") == "validation_log_var.npy"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file"),
        (b"not an array", "is damaged, or not an array"),
        (np.zeros((3, 6), np.float32), "has 3 z-points, the shards' index has 8 images of test"),
        (np.zeros((8, 5), np.float32), "has z-points of 5 dimensions, the model has 6"),
        (np.zeros((8, 6)), "must hold z-points, finite float32"),
        (np.zeros(8, np.float32), "must hold z-points, finite float32"),
        (np.full((8, 6), np.nan, np.float32), "must hold z-points, finite float32"),
    ],
    ids=["missing", "junk", "images", "model", "dtype", "shape", "nan"],
)
def test_mistakes_get_one_line(
    tmp_path: Path, content: bytes | np.ndarray | None, expected: str
) -> None:
    path = tmp_path / "test_mu.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(
        UserError, match=rf"test_mu\.npy: {expected}.*; run `dvc repro zpoints`"
    ) as caught:
        load_mu(tmp_path, "test", images=8, z_dim=6)
    assert "\n" not in str(caught.value)
