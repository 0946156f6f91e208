"""Encode the splits of a data set into z-points, once, as arrays."""

from pathlib import Path

import numpy as np

from celeba_vae.files import atomic_path
from celeba_vae.pretrained import Pretrained
from celeba_vae.progress import progress_bar
from celeba_vae.shards.read import Split

# Images between two moves of the bar; what they need in memory does not grow with the data.
_BLOCK = 512

ARRAYS = ("mu", "log_var", "z")


def encode_split(
    model: Pretrained, images: Split, *, split: str, seed: int, folder: Path
) -> dict[str, np.ndarray]:
    """Encode all images of a split and keep the result as arrays on disk.

    Args:
        model: the trained model.
        images: the split, n images.
        split: its name, which names the files.
        seed: seed of the noise in z.
        folder: where `<split>_mu.npy`, `<split>_log_var.npy` and `<split>_z.npy` are written;
            row i of each belongs to row i of the split in images.csv.

    Returns:
        "mu", "log_var" and "z" = mu + exp(log_var / 2) * noise: float32 (n, z_dim) each.
    """
    arrays = {name: np.empty((len(images), model.z_dim), np.float32) for name in ARRAYS}
    with progress_bar(len(images), label=f"encode {split}", unit="images") as bar:
        for start in range(0, len(images), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(images)))
            mu, log_var = model.encode(images.take(rows))
            arrays["mu"][rows], arrays["log_var"][rows] = mu, log_var
            bar.update(len(rows))
    arrays["z"][:] = arrays["mu"] + np.exp(0.5 * arrays["log_var"]) * _noise(
        arrays["mu"].shape, seed=seed, split=split
    )
    for name, array in arrays.items():
        with atomic_path(folder / f"{split}_{name}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    return arrays


def _noise(shape: tuple[int, ...], *, seed: int, split: str) -> np.ndarray:
    # A stream for each split: the same noise in all would make their z-points alike.
    key = np.random.SeedSequence((seed, *split.encode()))
    generator = np.random.Generator(np.random.Philox(key))
    return generator.standard_normal(shape, dtype=np.float32)
