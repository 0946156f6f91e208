"""Encode the splits of a data set into z-points, once, as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from celeba_vae.model.pretrained import Pretrained
from celeba_vae.runtime.files import atomic_path
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split

# Images between two moves of the bar; what they need in memory does not grow with the data.
_BLOCK = 512


@dataclass(frozen=True)
class Encoded:
    """The z-points of a split; row i of each array belongs to its image i.

    Attributes:
        mu: float32 (n, z_dim).
        log_var: float32 (n, z_dim); None for a plain autoencoder.
        z: float32 (n, z_dim), one sample of each image, see `Pretrained.sample`.
    """

    mu: np.ndarray
    log_var: np.ndarray | None
    z: np.ndarray


def encode_split(
    model: Pretrained, images: Split, *, split: str, seed: int, folder: Path
) -> Encoded:
    """Encode all images of a split and keep the result as arrays on disk.

    Args:
        model: the trained model.
        images: the split, n images.
        split: its name, which names the files.
        seed: seed of the noise in z.
        folder: where `<split>_mu.npy`, `<split>_log_var.npy` (none for a plain autoencoder) and
            `<split>_z.npy` are written; row i of each belongs to row i of the split in images.csv.
    """
    mu, z = (np.empty((len(images), model.z_dim), np.float32) for _ in range(2))
    log_var = np.empty_like(mu) if model.variational else None
    noise = _generator(seed, split)
    with progress_bar(len(images), label=f"encode {split}", unit="images") as bar:
        for start in range(0, len(images), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(images)))
            mu[rows], spread = model.encode(images.take(rows))
            if log_var is not None:
                log_var[rows] = spread
            drawn = noise.standard_normal((len(rows), model.z_dim), dtype=np.float32)
            z[rows] = model.sample(mu[rows], spread, drawn)
            bar.update(len(rows))
    encoded = Encoded(mu=mu, log_var=log_var, z=z)
    for name, array in vars(encoded).items():
        if array is not None:
            with atomic_path(folder / f"{split}_{name}.npy") as temporary:
                np.save(temporary, array, allow_pickle=False)
    return encoded


def _generator(seed: int, split: str) -> np.random.Generator:
    # A stream for each split: the same noise in all would make their z-points alike.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *split.encode()))))
