"""Draw z-points: from the prior N(0, I), or from the Gaussian that fits a cloud of z-points."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_vae.errors import UserError
from celeba_vae.files import atomic_path
from celeba_vae.latent.statistics import Floats, Points, mean_and_covariance

GAUSSIAN_FILE = "gaussian.npz"


@dataclass(frozen=True)
class Gaussian:
    """A multivariate normal distribution: z = mean + noise @ root, with noise from N(0, I).

    Attributes:
        mean: (z_dim,).
        root: (z_dim, z_dim), the symmetric square root of the covariance matrix. Unlike a
            Cholesky factor it exists for a flat cloud too, and unlike eigenvectors it has no
            free signs or rotations, so a small change of the cloud is a small change of z.
    """

    mean: Floats
    root: Floats


def fit_gaussian(z: Points) -> Gaussian:
    """Return the Gaussian with centre and covariance of the points z, (images, z_dim).

    The maximum-likelihood fit; fewer images than dimensions and constant dimensions are fine.
    """
    mean, covariance = mean_and_covariance(z)
    values, axes = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.clip(values, 0, None))
    return Gaussian(mean=mean, root=(axes * deviations) @ axes.T)


def draw_normal(n: int, z_dim: int, seed: int) -> NDArray[np.float32]:
    """Return n points of N(0, I) as float32, (n, z_dim); the first of more points are the same."""
    return _noise(n, z_dim, seed).astype(np.float32)


def draw_gaussian(gaussian: Gaussian, n: int, seed: int) -> NDArray[np.float32]:
    """Return n points of a fitted Gaussian as float32, (n, z_dim).

    The noise is that of `draw_normal` with the same seed: the points correspond one to one, and
    pictures made of them show what the fit alone changes.
    """
    noise = _noise(n, len(gaussian.mean), seed)
    return (gaussian.mean + noise @ gaussian.root).astype(np.float32)


def save_gaussian(path: Path, gaussian: Gaussian) -> None:
    """Write a Gaussian as an .npz file of the arrays mean and root, in stable bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, mean=gaussian.mean, root=gaussian.root)


def load_gaussian(path: Path, *, z_dim: int) -> Gaussian:
    """Read what `save_gaussian` wrote for a model of z_dim dimensions.

    Raises:
        UserError: there is no such file, or it does not hold a Gaussian of z_dim dimensions.
    """
    try:
        # Opened here, because np.load leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            gaussian = Gaussian(
                mean=arrays["mean"].astype(np.float64), root=arrays["root"].astype(np.float64)
            )
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the stage zpoints writes it") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        raise UserError(
            f"{path}: holds no fitted Gaussian, the arrays mean and root, or is damaged; "
            "the stage zpoints writes it anew"
        ) from None
    if gaussian.mean.shape != (z_dim,) or gaussian.root.shape != (z_dim, z_dim):
        raise UserError(
            f"{path}: mean has shape {gaussian.mean.shape} and root {gaussian.root.shape}, but the "
            f"model has {z_dim} dimensions; is it of another model?"
        )
    if not (np.isfinite(gaussian.mean).all() and np.isfinite(gaussian.root).all()):
        raise UserError(f"{path}: holds values that are not finite; the z-points were not either")
    return gaussian


def _noise(n: int, z_dim: int, seed: int) -> Floats:
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal((n, z_dim))
