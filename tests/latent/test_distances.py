import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import gammaln

from celeba_vae.latent.distances import (
    classifier_two_sample,
    energy_distance,
    energy_distances_of_scaled,
    energy_summary,
    henze_zirkler,
    mardia,
    mean_distance,
    mean_pair_distance,
    subsample,
    subsample_rows,
)


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    """2,500 points of N(0, I) in 256 dimensions, more than two blocks of rows."""
    return np.random.default_rng(1).standard_normal((2500, 256))


@pytest.fixture(scope="module")
def other_normal() -> np.ndarray:
    return np.random.default_rng(2).standard_normal((2000, 256))


@pytest.fixture(scope="module")
def mixture() -> np.ndarray:
    """Two clouds 8 deviations apart, with mean 0 and covariance I as one."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((2000, 6))
    points[:, 0] = (points[:, 0] + 4 * rng.choice([-1, 1], 2000)) / np.sqrt(17)
    return points


def test_subsamples_are_seeded_rows_in_order_or_all() -> None:
    points = np.arange(100, dtype=np.float32)[:, None]
    some = subsample(points, count=10, seed=1)
    assert some.dtype == np.float64
    assert some[:, 0].tolist() == subsample_rows(100, count=10, seed=1).tolist()
    assert np.all(np.diff(some[:, 0]) > 0)
    assert np.array_equal(some, subsample(points, count=10, seed=1))
    assert not np.array_equal(some, subsample(points, count=10, seed=2))
    assert np.array_equal(subsample(points, count=100, seed=1), points)


def test_mean_distances_are_those_of_all_pairs() -> None:
    one, other = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0], [7.0]])
    assert mean_distance(one, other) == pytest.approx(4.5)
    assert mean_pair_distance(other) == pytest.approx(8 / 3)
    assert mean_pair_distance(one[:1]) == 0


def test_the_energy_distance_of_one_dimension_is_scipys() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(1500, 1)), 0.5 + 2 * rng.normal(size=(1300, 1))
    # scipy returns the root, and counts the pairs of a point with itself.
    expected = stats.energy_distance(one[:, 0], other[:, 0]) ** 2
    assert energy_distance(one, other) == pytest.approx(expected, abs=3e-3)


def test_two_samples_of_the_prior_have_no_energy_distance(
    normal: np.ndarray, other_normal: np.ndarray
) -> None:
    summary = energy_summary(normal, other_normal)
    assert summary["points"] == 2500
    assert summary["energy_distance"] == pytest.approx(0, abs=0.002)
    assert summary["energy_coefficient"] == pytest.approx(0, abs=1e-4)
    # E|X - Y| = 2 Gamma((d + 1) / 2) / Gamma(d / 2).
    expected = 2 * np.exp(gammaln(128.5) - gammaln(128))
    assert mean_distance(normal, other_normal) == pytest.approx(expected, rel=1e-3)


def test_a_cube_with_the_radii_of_the_prior_is_still_found_out(other_normal: np.ndarray) -> None:
    # In two dimensions. In many it hardly differs: there shape counts for little.
    cube = np.random.default_rng(5).uniform(-np.sqrt(3), np.sqrt(3), (2000, 2))
    assert energy_distance(cube, other_normal[:, :2]) > 0.005
    assert energy_distance(other_normal[:1000, :2], other_normal[1000:, :2]) < 0.003


def test_clouds_far_apart_differ_by_twice_their_distance(normal: np.ndarray) -> None:
    few = normal[:500, :2]
    summary = energy_summary(few + 1e6, normal[500:1000, :2])
    assert summary["energy_distance"] == pytest.approx(2e6 * np.sqrt(2), rel=1e-5)
    assert summary["energy_coefficient"] == pytest.approx(1, abs=1e-5)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 3), dimensions=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_scaled_draws_have_the_distance_of_their_points(
    seed: int, scale: float, dimensions: int
) -> None:
    rng = np.random.default_rng(seed)
    draws, points = rng.normal(size=(2, 60, dimensions))
    centre = rng.normal(size=dimensions)
    found = energy_distances_of_scaled(draws, centre, np.array([1.0, scale]), points[:40])
    expected = energy_distance(centre + scale * (draws - centre), points[:40])
    assert found[1] == pytest.approx(expected, abs=1e-6)
    assert found[0] == pytest.approx(energy_distance(draws, points[:40]), abs=1e-6)


def test_mardia_of_normal_points_is_as_expected(normal: np.ndarray) -> None:
    stretched = 3 + normal @ np.diag(np.linspace(0.1, 5, 256))
    for points in (normal, stretched):
        found = mardia(points)
        assert found["skewness"] == pytest.approx(found["expected_skewness"], rel=5e-3)
        assert found["kurtosis"] == pytest.approx(found["expected_kurtosis"], rel=1e-3)
        assert abs(found["kurtosis_z"]) < 3


def test_mardia_is_that_of_one_dimension() -> None:
    values = np.random.default_rng(6).exponential(size=(800, 1))
    found = mardia(values)
    assert found["skewness"] == pytest.approx(float(stats.skew(values[:, 0])) ** 2)
    assert found["kurtosis"] == pytest.approx(float(stats.kurtosis(values[:, 0], fisher=False)))


def test_mardia_sees_the_flat_shape_of_a_cube() -> None:
    cube = np.random.default_rng(7).uniform(-1, 1, (2000, 20))
    found = mardia(cube)
    # A uniform value has the kurtosis 9/5: 20 of them and the pairs of different ones.
    assert found["kurtosis"] == pytest.approx(20 * 1.8 + 20 * 19, rel=5e-3)
    assert found["kurtosis_z"] < -10


def test_henze_zirkler_accepts_normal_points_and_refuses_others(
    normal: np.ndarray, mixture: np.ndarray
) -> None:
    correlated = normal[:1500] @ np.random.default_rng(8).normal(size=(256, 12))
    found = henze_zirkler(correlated)
    assert found["dimensions"] == 10
    assert found["p_value"] > 0.01
    assert found["statistic"] == pytest.approx(found["expected"], rel=0.05)
    found = henze_zirkler(mixture)
    assert found["dimensions"] == 6
    assert found["p_value"] < 1e-6
    assert found["statistic"] > 2 * found["expected"]


def test_henze_zirkler_is_uniform_under_normality() -> None:
    rng = np.random.default_rng(9)
    p_values = [henze_zirkler(rng.normal(size=(200, 3)))["p_value"] for _ in range(150)]
    assert stats.ks_1samp(p_values, stats.uniform.cdf).statistic < 0.15


def test_a_classifier_cannot_tell_the_prior_from_itself(
    normal: np.ndarray, other_normal: np.ndarray
) -> None:
    found = classifier_two_sample(normal[:2000], other_normal, seed=1)
    assert found["points"] == 2000
    assert abs(float(found["accuracy"]) - 0.5) < 4 * float(found["accuracy_std"])
    assert found == classifier_two_sample(normal[:2000], other_normal, seed=1)


@pytest.mark.parametrize("change", ["shift", "stretch", "correlation"])
def test_a_classifier_tells_changed_clouds(
    normal: np.ndarray, other_normal: np.ndarray, change: str
) -> None:
    changed = normal[:2000].copy()
    if change == "shift":
        changed += 0.2
    elif change == "stretch":
        changed *= 1.15
    else:
        changed[:, 1:12] = changed[:, :1]
    assert classifier_two_sample(changed, other_normal, seed=1)["accuracy"] > 0.65
