"""Encoding of the splits of a data set into z-points."""

from dataclasses import dataclass

import numpy as np

from celeba_vae.latent.cloud import Cloud
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.runtime.arrays import Points
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split


@dataclass(frozen=True)
class Encoded:
    """The z-points of a split of n images; row i of each array belongs to its image i.

    Attributes:
        mu: (n, z_dim).
        log_var: (n, z_dim); None for a plain autoencoder.
        z: (n, z_dim), one sample of q(z|x) for each image; mu of a plain autoencoder.
    """

    mu: Cloud
    log_var: Points | None
    z: Cloud

    @property
    def arrays(self) -> dict[str, Points]:
        """The arrays by name: mu, log_var (none for a plain autoencoder) and z."""
        arrays = {"mu": self.mu.points, "log_var": self.log_var, "z": self.z.points}
        return {name: array for name, array in arrays.items() if array is not None}


def encode_split(model: Pretrained, images: Split, *, split: str, seed: int) -> Encoded:
    """Return the z-points of all images of a split, float32.

    Args:
        model: the trained model.
        images: the split, n images.
        split: its name.
        seed: seed of the noise in z.
    """
    mu, z = (np.empty((len(images), model.z_dim), np.float32) for _ in range(2))
    log_var = np.empty_like(mu) if model.variational else None
    noise = _generator(seed, split)
    with progress_bar(len(images), label=f"encode {split}", unit="images") as bar:
        for rows, pixels in images.blocks():
            mu[rows], lv = model.encode(pixels)
            if log_var is not None:
                log_var[rows] = lv
            drawn = noise.standard_normal((len(rows), model.z_dim), dtype=np.float32)
            z[rows] = model.sample_z(mu[rows], lv, drawn, factor=1)
            bar.update(len(rows))
    return Encoded(mu=Cloud(mu), log_var=log_var, z=Cloud(z))


def _generator(seed: int, split: str) -> np.random.Generator:
    # A stream for each split: the same noise in all would make their z-points alike.
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *split.encode()))))
