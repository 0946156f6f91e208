"""Distances of two clouds of points, and tests of one for normality.

Pairs of points cost time and memory with the square of their number, so the callers hand in
subsamples (see `subsample`) and say how large they are. All work is done in float64.
"""

import warnings
from typing import Any

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from celeba_vae.runtime.arrays import Floats, Points
from celeba_vae.runtime.threads import threaded_map

# Points of each cloud in an energy distance.
ENERGY_POINTS = 2048

# Rows of a matrix of distances that are in memory at a time.
_BLOCK_ROWS = 256

# Henze and Zirkler's statistic is blind in many dimensions: all its kernels are 0 there.
HENZE_ZIRKLER_DIMENSIONS = 10


def subsample(points: Points, *, count: int, seed: int) -> Floats:
    """Return `count` random points of a cloud (n, d) as float64, or all where there are fewer.

    Without repetition, in the order of the cloud; the same rows for the same n, count and seed.
    """
    if len(points) > count:
        points = points[subsample_rows(len(points), count=count, seed=seed)]
    return points.astype(np.float64)


def subsample_rows(available: int, *, count: int, seed: int) -> np.ndarray:
    """Return the rows that `subsample` takes: sorted integers, at most `count` of them."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, available))))
    return np.sort(generator.permutation(available)[:count])


def energy_distance(one: Floats, other: Floats) -> float:
    """Return the energy distance of two clouds, from samples (n, d) and (m, d), in units of z.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo 2013), each mean over pairs of two
    different points: 0 on average, and so now and then a little below, if both are samples of
    the same distribution, and above 0 for all others.
    """
    return 2 * mean_distance(one, other) - mean_pair_distance(one) - mean_pair_distance(other)


def energy_distances_of_scaled(
    draws: Floats, centre: Floats, scales: Floats, points: Floats
) -> Floats:
    """Return the energy distance of points from draws that are scaled about a centre.

    Args:
        draws: (n, d).
        centre: (d,).
        scales: (k,); scale s stands for the cloud centre + s (draws - centre).
        points: (m, d).

    Returns:
        (k,), each what `energy_distance` gives for that cloud and the points.
    """
    moved, around = points - centre, draws - centre
    lengths = (around**2).sum(axis=1)

    # One product of matrices serves all scales: |p - s q|^2 = |p|^2 - 2 s p.q + s^2 |q|^2.
    def of_block(start: int) -> list[float]:
        block = moved[start : start + _BLOCK_ROWS]
        products = block @ around.T
        own = (block**2).sum(axis=1)[:, None]
        return [
            np.sqrt(np.maximum(own - 2 * scale * products + scale**2 * lengths, 0)).sum()
            for scale in scales
        ]

    cross: Floats = np.sum(threaded_map(of_block, range(0, len(moved), _BLOCK_ROWS)), axis=0)
    distances: Floats = (
        2 * cross / (len(moved) * len(around))
        - scales * mean_pair_distance(around)
        - mean_pair_distance(moved)
    )
    return distances


def mean_distance(one: Floats, other: Floats) -> float:
    """Return the mean distance of the points of one cloud (n, d) from those of another (m, d)."""

    def of_block(start: int) -> float:
        return float(euclidean_distances(one[start : start + _BLOCK_ROWS], other).sum())

    total = sum(threaded_map(of_block, range(0, len(one), _BLOCK_ROWS)))
    return total / (len(one) * len(other))


def mean_pair_distance(points: Floats) -> float:
    """Return the mean distance of two different points of a cloud (n, d); 0 for a single point."""
    count = len(points)
    return mean_distance(points, points) * count / (count - 1) if count > 1 else 0.0


def energy_summary(points: Floats, normal: Floats) -> dict[str, float | int]:
    """Compare a cloud (n, d) with a sample of N(0, I), (m, d), by their energy distance.

    Returns:
        points: n; energy_distance, see there; energy_coefficient, the same as a share of
        2 E|X - Y|, from 0 for the same distribution to 1 (Szekely and Rizzo 2013): an effect size
        that does not depend on the unit of z.
    """
    cross = 2 * mean_distance(points, normal)
    distance = cross - mean_pair_distance(points) - mean_pair_distance(normal)
    return {
        "points": len(points),
        "energy_distance": distance,
        "energy_coefficient": distance / cross,
    }


def mardia(points: Floats) -> dict[str, float]:
    """Return Mardia's multivariate skewness and kurtosis of a cloud (n, d) with n > d.

    With g_ij = (z_i - mean)^T covariance^-1 (z_j - mean): the means of g_ij^3 over all i, j and
    of g_ii^2 (Mardia 1970). For n normal points the skewness is on average
    d (d + 2) ((n + 1)(d + 1) - 6) / ((n + 1)(n + 3)), about d (d + 1)(d + 2) / n, and the kurtosis
    d (d + 2)(n - 1) / (n + 1), with a deviation of about sqrt(8 d (d + 2) / n) (Mardia 1974).

    Returns:
        skewness, expected_skewness, kurtosis, expected_kurtosis, and kurtosis_z, the kurtosis'
        distance from the expected one in deviations.
    """
    count, dimensions = points.shape
    covariance = np.cov(points, rowvar=False, bias=True).reshape(dimensions, dimensions)
    values, axes = np.linalg.eigh(covariance)
    white = (points - points.mean(axis=0)) @ (axes / np.sqrt(values))
    skewness = sum(
        float(((white[start : start + _BLOCK_ROWS] @ white.T) ** 3).sum())
        for start in range(0, count, _BLOCK_ROWS)
    )
    kurtosis = float((((white**2).sum(axis=1)) ** 2).mean())
    expected = dimensions * (dimensions + 2)
    exact = expected * (count - 1) / (count + 1)
    return {
        "skewness": skewness / count**2,
        "expected_skewness": expected
        * ((count + 1) * (dimensions + 1) - 6)
        / ((count + 1) * (count + 3)),
        "kurtosis": kurtosis,
        "expected_kurtosis": exact,
        "kurtosis_z": (kurtosis - exact) / float(np.sqrt(8 * expected / count)),
    }


def henze_zirkler(points: Floats) -> dict[str, float | int]:
    """Return Henze and Zirkler's distance of a cloud (n, d) from a normal one, with n > d.

    The squared distance of the two characteristic functions, weighted with a normal density whose
    width follows n and d, times n (Henze and Zirkler 1990). It is taken over the cloud's
    HENZE_ZIRKLER_DIMENSIONS widest principal axes: in hundreds of dimensions all terms but those
    of a point with itself vanish, and the statistic is 1 whatever the cloud.

    Returns:
        dimensions, those it was taken over; statistic; expected, its mean for a normal cloud; and
        p_value, from the log-normal distribution with the statistic's mean and variance.
    """
    dimensions = min(HENZE_ZIRKLER_DIMENSIONS, points.shape[1])
    pca = PCA(dimensions, whiten=True, svd_solver="covariance_eigh")
    # scikit-learn divides by n - 1, the statistic by n.
    white = pca.fit_transform(points) * np.sqrt(len(points) / (len(points) - 1))
    n, d = white.shape
    beta2 = 0.5 * ((2 * d + 1) * n / 4) ** (2 / (d + 4))
    pairs = sum(
        float(np.exp(-beta2 / 2 * euclidean_distances(block, white, squared=True)).sum())
        for block in (white[start : start + _BLOCK_ROWS] for start in range(0, n, _BLOCK_ROWS))
    )
    own = np.exp(-beta2 / (2 * (1 + beta2)) * (white**2).sum(axis=1)).sum()
    statistic = (
        pairs / n - 2 * (1 + beta2) ** (-d / 2) * float(own) + n * (1 + 2 * beta2) ** (-d / 2)
    )
    wide, narrow = 1 + 2 * beta2, (1 + beta2) * (1 + 3 * beta2)
    beta4, beta8 = beta2**2, beta2**4
    mean = 1 - wide ** (-d / 2) * (1 + d * beta2 / wide + d * (d + 2) * beta4 / (2 * wide**2))
    variance = (
        2 * (1 + 4 * beta2) ** (-d / 2)
        + 2 * wide**-d * (1 + 2 * d * beta4 / wide**2 + 3 * d * (d + 2) * beta8 / (4 * wide**4))
        - 4
        * narrow ** (-d / 2)
        * (1 + 3 * d * beta4 / (2 * narrow) + d * (d + 2) * beta8 / (2 * narrow**2))
    )
    log_std = np.sqrt(np.log(1 + variance / mean**2))
    log_mean = np.log(mean) - log_std**2 / 2
    return {
        "dimensions": d,
        "statistic": statistic,
        "expected": mean,
        "p_value": float(stats.norm.sf((np.log(max(statistic, 1e-300)) - log_mean) / log_std)),
    }


def classifier_two_sample(one: Floats, other: Floats, *, seed: int) -> dict[str, float | int]:
    """Return how well a classifier tells two clouds apart, each (n, d) (Lopez-Paz and Oquab 2017).

    A logistic regression on the coordinates along the principal axes of both clouds together, and
    on their squares, so that it sees shifts, widths and correlations; learned on a random half of
    the points, scored on the other.

    Returns:
        points, those scored; accuracy, 0.5 for two samples of one distribution and 1 for clouds
        that do not overlap; and accuracy_std, its deviation in the first case.
    """
    points = np.concatenate([one, other])
    labels = np.repeat([0, 1], [len(one), len(other)])
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(points))
    learned, scored = order[: len(points) // 2], order[len(points) // 2 :]
    classifier = make_pipeline(
        PCA(svd_solver="covariance_eigh"),
        FunctionTransformer(_with_squares),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=500),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(points[learned], labels[learned])
    return {
        "points": len(scored),
        "accuracy": float(classifier.score(points[scored], labels[scored])),
        "accuracy_std": float(0.5 / np.sqrt(len(scored))),
    }


def _with_squares(values: Any) -> Any:
    return np.concatenate([values, values**2], axis=1)
