from pathlib import Path

import numpy as np
import pytest

from celeba_vae.latent.stored import array_file, load_mu
from celeba_vae.runtime.errors import UserError


def test_mu_comes_back_in_64_bits(tmp_path: Path) -> None:
    mu = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    np.save(tmp_path / "test_mu.npy", mu)
    loaded = load_mu(tmp_path, "test", images=8)
    assert loaded.dtype == np.float64
    assert np.array_equal(loaded, mu)


def test_files_are_named_by_split_and_array() -> None:
    assert array_file("validation", "log_var") == "validation_log_var.npy"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "test_mu.npy: cannot be read"),
        (b"not an array", "test_mu.npy: cannot be read"),
        (3, "test_mu.npy: has 3 z-points, the shards' index has 8 images of test"),
    ],
)
def test_mistakes_get_one_line(tmp_path: Path, content: bytes | int | None, expected: str) -> None:
    path = tmp_path / "test_mu.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, np.zeros((content, 6), np.float32))
    with pytest.raises(UserError, match=expected) as caught:
        load_mu(tmp_path, "test", images=8)
    assert "\n" not in str(caught.value)
