"""Frechet distance between two sets of features: FID, where they are Inception's."""

import numpy as np

from celeba_vae.runtime.arrays import Floats


def frechet_distance(one: Floats, other: Floats) -> float:
    """Return the Frechet distance between normal distributions fitted to two sets of features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with the unbiased covariances C (Heusel et al. 2017,
    equation 6).

    Args:
        one: (n, d) with n at least 2.
        other: (m, d) with m at least 2.
    """
    difference = one.mean(axis=0) - other.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(points, rowvar=False)) for points in (one, other))
    values, axes = np.linalg.eigh(first)
    root = (axes * np.sqrt(np.clip(values, 0, None))) @ axes.T
    # C1 C2 has the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2): unlike a matrix square root
    # this holds, and stays real, where there are fewer images than features.
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * shared)
