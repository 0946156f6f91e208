"""Encode the splits of a data set into z-points, once, as arrays."""

from pathlib import Path

import numpy as np

from celeba_vae.files import atomic_path
from celeba_vae.pretrained import Pretrained
from celeba_vae.progress import progress_bar
from celeba_vae.shards.read import Split

# Images between two moves of the bar; what they need in memory does not grow with the data.
_BLOCK = 512


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
        "mu", "log_var" and "z" (see `Pretrained.sample`): float32 (n, z_dim) each. The plain
        autoencoder has no log_var, neither here nor on disk.
    """
    names = ("mu", "log_var", "z") if model.variational else ("mu", "z")
    arrays = {name: np.empty((len(images), model.z_dim), np.float32) for name in names}
    noise = _noise_generator(seed, split)
    with progress_bar(len(images), label=f"encode {split}", unit="images") as bar:
        for start in range(0, len(images), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(images)))
            mu, log_var = model.encode(images.take(rows))
            arrays["mu"][rows] = mu
            if log_var is not None:
                arrays["log_var"][rows] = log_var
            drawn = noise.standard_normal(mu.shape, dtype=np.float32)
            arrays["z"][rows] = model.sample(mu, log_var, drawn)
            bar.update(len(rows))
    for name, array in arrays.items():
        with atomic_path(folder / f"{split}_{name}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    return arrays


def _noise_generator(seed: int, split: str) -> np.random.Generator:
    # A stream for each split: the same noise in all would make their z-points alike.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *split.encode()))))
