"""Linear interpolation between z-points."""

import numpy as np


def interpolate(starts: np.ndarray, ends: np.ndarray, *, steps: int) -> np.ndarray:
    """Return equally spaced points on the straight lines between pairs of z-points.

    Args:
        starts: (n, z_dim), the first point of each line.
        ends: (n, z_dim), the last point of each line.
        steps: points on each line, both ends included; at least 2.

    Returns:
        (n, steps, z_dim), in the precision of `starts`.
    """
    fractions = np.linspace(0.0, 1.0, steps, dtype=starts.dtype)[:, None]
    points: np.ndarray = (1 - fractions) * starts[:, None] + fractions * ends[:, None]
    return points
