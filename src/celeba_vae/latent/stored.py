"""Arrays of z-points on disk: how the files are called, and how mu is read back."""

from pathlib import Path

import numpy as np

from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError, reason_of

_FIX = "run `dvc repro zpoints`"


def array_file(split: str, name: str) -> str:
    """Return the file name of an array of a split: `train_mu.npy`; also log_var and z."""
    return f"{split}_{name}.npy"


def load_mu(folder: Path, split: str, *, images: int) -> Floats:
    """Return mu of all images of a split in 64 bits, (images, z_dim).

    Args:
        folder: the out of the stage `zpoints`.
        split: its name.
        images: how many the split has.

    Raises:
        UserError: the file is missing or damaged, or holds another number of z-points.
    """
    path = folder / array_file(split, "mu")
    try:
        with path.open("rb") as file:
            mu: Floats = np.lib.format.read_array(file, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {reason_of(error)}; {_FIX}") from None
    if len(mu) != images:
        raise UserError(
            f"{path}: has {len(mu)} z-points, the shards' index has {images} images of {split}; "
            f"{_FIX}"
        )
    return mu
