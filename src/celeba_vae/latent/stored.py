"""Arrays of z-points on disk: how the files are called, and how mu is read back."""

from pathlib import Path

import numpy as np

from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_array

_FIX = "run `dvc repro zpoints`"


def array_file(split: str, name: str) -> str:
    """Return the file name of an array of a split: `train_mu.npy`; also log_var and z."""
    return f"{split}_{name}.npy"


def load_mu(folder: Path, split: str, *, images: int, z_dim: int) -> Floats:
    """Return mu of all images of a split in 64 bits, (images, z_dim).

    Args:
        folder: the out of the stage `zpoints`.
        split: its name.
        images: how many the split has.
        z_dim: dimensions of the model.

    Raises:
        UserError: the file is missing or damaged, or holds z-points of other images or of another
            model.
    """
    path = folder / array_file(split, "mu")
    mu = read_array(path, fix=_FIX)
    if mu.ndim != 2 or mu.dtype != np.float32 or not mu.size or not np.isfinite(mu).all():
        raise UserError(f"{path}: must hold z-points, finite float32 (images, z_dim); {_FIX}")
    if len(mu) != images:
        raise UserError(
            f"{path}: has {len(mu)} z-points, the shards' index has {images} images of {split}; "
            f"{_FIX}"
        )
    if mu.shape[1] != z_dim:
        raise UserError(
            f"{path}: has z-points of {mu.shape[1]} dimensions, the model has {z_dim}; {_FIX}"
        )
    return mu.astype(np.float64)
