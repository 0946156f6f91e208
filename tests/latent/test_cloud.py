import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.latent import cloud as cloud_module
from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.statistics import covariance_summary, strongest_pairs
from celeba_vae.runtime.arrays import Floats, Points


def test_moments_are_computed_once_and_over_several_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[Points] = []
    blocks = cloud_module.float_blocks

    def counted(points: Points) -> Iterator[Floats]:
        passes.append(points)
        return blocks(points)

    monkeypatch.setattr(cloud_module, "float_blocks", counted)
    points = np.random.default_rng(12).normal(size=(20_001, 3)).astype(np.float32) + 1000
    cloud = Cloud(points)
    assert (len(cloud), cloud.dimensions, passes) == (20_001, 3, [])
    for _ in range(2):
        assert cloud.mean == pytest.approx(points.mean(axis=0, dtype=np.float64))
        # Two passes are needed so far from the origin.
        expected = np.cov(points.astype(np.float64), rowvar=False, bias=True)
        assert cloud.covariance == pytest.approx(expected)
        assert cloud.eigenvalues[::-1] == pytest.approx(cloud.eigenvectors[0])
        assert cloud.radii == pytest.approx(np.linalg.norm(points, axis=1))
    # One for the mean, one for the covariance, one for the radii.
    assert len(passes) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        cloud.points = points  # type: ignore[misc]


def test_covariance_of_a_correlated_normal_comes_back() -> None:
    rng = np.random.default_rng(4)
    covariance = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, 0.0], [0.0, 0.0, 0.25]])
    centre = np.array([3.0, -4.0, 0.0])
    points = rng.multivariate_normal(centre, covariance, size=200_000)
    cloud = Cloud(points)
    measured = cloud.covariance
    assert cloud.mean == pytest.approx(centre, abs=0.03)
    assert measured == pytest.approx(covariance, abs=0.05)
    assert measured == pytest.approx(np.cov(points, rowvar=False, bias=True))
    assert strongest_pairs(cloud.correlation, count=1) == [(0, 1)]
    summary = covariance_summary(cloud)
    assert summary["centre_distance"] == pytest.approx(5, abs=0.03)
    assert summary["largest_correlation"] == pytest.approx(0.6, abs=0.01)
    expected = np.linalg.eigvalsh(covariance)[::-1]
    assert cloud.eigenvalues == pytest.approx(expected, rel=0.02)
    assert summary["condition_number"] == pytest.approx(expected[0] / expected[-1], rel=0.03)


@given(
    values=st.lists(st.floats(0.01, 100), min_size=2, max_size=6), seed=st.integers(0, 2**32 - 1)
)
@settings(max_examples=50, deadline=None)
def test_eigenvalues_of_a_rotated_ellipsoid_come_back(values: list[float], seed: int) -> None:
    d = len(values)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    # Points at +- sqrt(d v) on each axis have exactly the covariance diag(v).
    half = np.diag(np.sqrt(d * np.array(values)))
    cloud = Cloud(np.concatenate([half, -half]) @ rotation)
    summary = covariance_summary(cloud)
    expected = np.sort(values)[::-1]
    assert cloud.eigenvalues == pytest.approx(expected, rel=1e-6)
    shares = expected / expected.sum()
    rank = np.exp(-(shares * np.log(shares)).sum())
    assert summary["effective_rank"] == pytest.approx(rank, rel=1e-6)
    assert 1 <= summary["effective_rank"] <= d + 1e-9
    assert summary["centre_distance"] == pytest.approx(0, abs=1e-9)


def test_radii_are_euclidean() -> None:
    assert Cloud(np.array([[3.0, 4.0], [0.0, 0.0]])).radii.tolist() == [5, 0]


def test_constant_dimensions_do_not_correlate() -> None:
    points = np.full((1001, 3), 0.1)
    points[:, 0] = np.random.default_rng(5).normal(size=1001)
    matrix = Cloud(points).correlation
    assert matrix == pytest.approx(np.diag([1, 0, 0]))
    assert strongest_pairs(np.diag([1.0, 0.0, 0.0]), count=1) == [(0, 1)]


def test_flat_clouds_are_told() -> None:
    # Points at +- 1 on each axis have exactly the covariance 1/2.
    cross = np.concatenate([np.eye(2), -np.eye(2)])
    assert Cloud(cross * [1.0, 0.0]).is_flat
    assert not Cloud(cross * [1.0, 1e-3]).is_flat
    assert Cloud(np.random.default_rng(10).normal(size=(5, 8))).is_flat


@given(
    different=st.integers(1, 6),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_copies_of_too_few_points_are_flat_whatever_rounding_makes_of_them(
    different: int, shift: float, seed: int
) -> None:
    # As many points as dimensions lie in a plane, and float32 leaves none of them quite there.
    generator = np.random.default_rng(seed)
    points = generator.normal(shift, 1, (different, 6)).astype(np.float32).repeat(30, axis=0)
    assert Cloud(points).is_flat
    assert covariance_summary(Cloud(points))["condition_number"] is None
    round_cloud = Cloud(generator.normal(shift, 1, (180, 6)).astype(np.float32))
    assert not round_cloud.is_flat
