"""A cloud of points and its moments, each computed once, when it is first asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from celeba_vae.runtime.arrays import Floats, Points

_BLOCK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Cloud:
    """A cloud of n points in d dimensions, such as the z of all images of a split.

    All moments are computed in float64 by blocks of rows (so that all of CelebA, 202,599 x 256,
    needs no second copy), and divide by n, not n - 1.

    Attributes:
        points: (n, d), in any precision.
    """

    points: Points

    def __len__(self) -> int:
        return len(self.points)

    @property
    def dimensions(self) -> int:
        """The number of dimensions, d."""
        return int(self.points.shape[1])

    @cached_property
    def mean(self) -> Floats:
        """The centre, (d,)."""
        return np.asarray(sum(block.sum(axis=0) for block in float_blocks(self.points)) / len(self))

    @cached_property
    def covariance(self) -> Floats:
        """The covariance matrix, (d, d)."""
        # Two passes: the difference E[z z'] - E[z] E[z]' loses all digits far from the origin.
        covariance = np.zeros((self.dimensions, self.dimensions))
        for block in float_blocks(self.points):
            centred = block - self.mean
            covariance += centred.T @ centred
        return covariance / len(self)

    @cached_property
    def correlation(self) -> Floats:
        """The correlation matrix, (d, d); 0 where a dimension is constant."""
        return correlation(self.covariance)

    @cached_property
    def eigenvalues(self) -> Floats:
        """The eigenvalues of the covariance matrix, descending, (d,).

        They are the variances along the axes of the cloud's ellipsoid. Rounding errors below 0
        are 0.
        """
        return np.clip(np.linalg.eigvalsh(self.covariance)[::-1], 0, None)

    @cached_property
    def eigenvectors(self) -> tuple[Floats, Floats]:
        """The eigenvalues, ascending and as they come, (d,), and an eigenvector in each column."""
        values, vectors = np.linalg.eigh(self.covariance)
        return values, vectors

    @property
    def is_flat(self) -> bool:
        """Whether there is a direction in which the cloud has no extent, but for rounding."""
        largest, smallest = self.eigenvalues[0], self.eigenvalues[-1]
        of_sums = largest * self.dimensions * np.finfo(np.float64).eps
        # z-points are float32, also where they are computed with in 64 bits.
        largest_value = float(max(self.points.max(), -self.points.min()))
        of_points = (float(np.finfo(np.float32).eps) * largest_value) ** 2
        return bool(smallest <= max(of_sums, of_points))

    @cached_property
    def radii(self) -> Floats:
        """The distance of each point from the origin, (n,)."""
        return np.concatenate(
            [np.linalg.norm(block, axis=1) for block in float_blocks(self.points)]
        )


def correlation(covariance: Floats) -> Floats:
    """Return the correlation matrix of a covariance matrix; 0 where a dimension is constant."""
    deviation = np.sqrt(np.diagonal(covariance))
    scale = np.outer(deviation, deviation)
    # A constant dimension's variance is 0 but for rounding, which correlates with itself.
    varies = scale > scale.max() * np.finfo(np.float64).eps
    result = np.zeros_like(covariance)
    np.divide(covariance, scale, out=result, where=varies)
    return result


def float_blocks(points: Points) -> Iterator[Floats]:
    """Give the rows of an array block by block, as float64."""
    for start in range(0, len(points), _BLOCK_ROWS):
        yield points[start : start + _BLOCK_ROWS].astype(np.float64)
