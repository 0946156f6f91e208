"""Precision, recall, density and coverage of drawn images by nearest neighbours.

Also the nearest training image of each: how near drawn faces come to those learned from.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from celeba_vae.runtime.arrays import Floats, Points

# Squared distances below this share of the points' squared lengths are rounding errors of them.
_ROUNDING = 1e-12

# Rows of a matrix of distances at once: with 4,096 points in the other set 17 MB.
_ROWS = 512


def squared_distances(one: Points, other: Points) -> Floats:
    """Return the squared Euclidean distances of all pairs of points, (n, m).

    |a|^2 + |b|^2 - 2 a b in 64 bits; 0 for points that are the same but for rounding. one: (n, d);
    other: (m, d).
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    squares = lengths - 2 * first @ second.T
    distances: Floats = np.where(squares > _ROUNDING * lengths, squares, 0)
    return distances


def manifold_scores(real: Points, drawn: Points, *, neighbours: int) -> dict[str, float]:
    """Return precision, recall, density and coverage of drawn points.

    A set is surrounded by a ball about each of its points which reaches to its k-th nearest
    neighbour in the set. Precision: the fraction of drawn points within a real ball; recall: of
    real points within a drawn ball (Kynkaanniemi et al. 2019, equations 1 and 2). Density: real
    balls round a drawn point, divided by k, on average, 1 for equal distributions; coverage:
    the fraction of real balls with a drawn point in them (Naeem et al. 2020, equations 3 and 4).

    Args:
        real: (n, d) with n above k.
        drawn: (m, d) with m above k.
        neighbours: k.
    """
    real, drawn = real.astype(np.float64), drawn.astype(np.float64)
    real_radii, drawn_radii = (_radii(points, neighbours) for points in (real, drawn))
    within_real = np.zeros(len(drawn), np.int64)
    within_drawn = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    for rows, squares in _blocks(real, drawn):
        inside = squares <= real_radii[rows, None]
        within_real += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        within_drawn[rows] = (squares <= drawn_radii).any(axis=1)
    return {
        "precision": float((within_real > 0).mean()),
        "recall": float(within_drawn.mean()),
        "density": float(within_real.mean() / neighbours),
        "coverage": float(covered.mean()),
    }


def nearest(queries: Points, candidates: Iterable[Points]) -> tuple[Floats, NDArray[np.int64]]:
    """Return the distance to the nearest candidate of each query, and its row.

    Args:
        queries: (n, d).
        candidates: points (m_i, d) in blocks, for more of them than memory holds; rows count on
            from block to block.

    Returns:
        Root mean squared differences of the d values, (n,), and rows, (n,).
    """
    queries = queries.astype(np.float64)
    best = np.full(len(queries), np.inf)
    rows = np.zeros(len(queries), np.int64)
    seen = 0
    for block in candidates:
        squares = squared_distances(queries, block)
        place = squares.argmin(axis=1)
        distance = squares[np.arange(len(queries)), place]
        closer = distance < best
        best[closer], rows[closer] = distance[closer], seen + place[closer]
        seen += len(block)
    return np.sqrt(best / queries.shape[1]), rows


def _radii(points: Points, neighbours: int) -> Floats:
    """Return the squared distance of each point to its k-th nearest other point, (n,)."""
    if len(points) <= neighbours:
        raise ValueError(f"{len(points)} points have no {neighbours} neighbours each")
    radii = np.empty(len(points))
    for rows, squares in _blocks(points, points):
        # The point itself is at distance 0, and there may be others.
        squares[np.arange(len(squares)), np.arange(len(points))[rows]] = -1
        radii[rows] = np.partition(squares, neighbours, axis=1)[:, neighbours]
    return radii


def _blocks(one: Points, other: Points) -> Iterator[tuple[slice, Floats]]:
    for start in range(0, len(one), _ROWS):
        rows = slice(start, min(start + _ROWS, len(one)))
        yield rows, squared_distances(one[rows], other)
