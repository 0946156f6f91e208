import numpy as np
import pytest

from celeba_vae.metrics.frechet import frechet_distance


def with_moments(mean: np.ndarray, covariance: np.ndarray, count: int = 400) -> np.ndarray:
    """Points with exactly this mean and covariance."""
    points = np.random.default_rng(1).standard_normal((count, len(mean)))
    points -= points.mean(axis=0)
    own = np.atleast_2d(np.cov(points, rowvar=False))
    points = points @ np.linalg.inv(np.linalg.cholesky(own)).T
    moved: np.ndarray = points @ np.linalg.cholesky(covariance).T + mean
    return moved


def test_normal_distributions_with_common_axes() -> None:
    one = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    other = with_moments(np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    # |m1 - m2|^2 = 9, and the sum of (s1 - s2)^2 is 1 + 0 + 4.
    assert frechet_distance(one, other) == pytest.approx(14)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_covariances_that_do_not_commute() -> None:
    first = np.array([[2.0, 1.0], [1.0, 3.0]])
    second = np.array([[5.0, -2.0], [-2.0, 1.0]])
    one, other = with_moments(np.zeros(2), first), with_moments(np.zeros(2), second)
    # tr sqrt(A) of a 2 x 2 matrix is sqrt(tr A + 2 sqrt(det A)).
    product = first @ second
    shared = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * shared
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(other, one) == pytest.approx(expected)


def test_fewer_images_than_features() -> None:
    # All spread along one axis, deviation 2, against a copy with the deviation 3.
    points = np.zeros((50, 200))
    points[:, 0] = with_moments(np.zeros(1), np.eye(1), 50)[:, 0]
    assert frechet_distance(2 * points, 3 * points) == pytest.approx(1)
