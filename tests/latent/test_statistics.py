import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from celeba_vae.latent.statistics import (
    component_table,
    correlation,
    covariance_summary,
    dimension_table,
    kl_per_dimension,
    marchenko_pastur_edges,
    mean_and_covariance,
    radii,
    radius_summary,
    radius_table,
    strongest_pair,
    summarize,
)


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    """20,000 points of N(0, I) in 256 dimensions, more than two blocks of rows."""
    return np.random.default_rng(1).standard_normal((20_000, 256)).astype(np.float32)


@pytest.fixture(scope="module")
def cube() -> np.ndarray:
    return np.random.default_rng(2).uniform(-1.5, 1.5, (20_000, 256)).astype(np.float32)


@given(mu=st.floats(-3, 3), log_var=st.floats(-4, 2), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_kl_agrees_with_monte_carlo(mu: float, log_var: float, seed: int) -> None:
    deviation = np.exp(log_var / 2)
    z = mu + deviation * np.random.default_rng(seed).standard_normal(40_000)
    log_ratio = stats.norm.logpdf(z, mu, deviation) - stats.norm.logpdf(z)
    kl = kl_per_dimension(np.array([[mu]]), np.array([[log_var]]))
    assert kl.shape == (1,)
    assert kl[0] == pytest.approx(log_ratio.mean(), abs=6 * log_ratio.std() / 200 + 1e-9)


def test_kl_has_its_closed_form_values() -> None:
    mu = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    log_var = np.array([[0.0, 0.0, np.log(4)], [0.0, 0.0, np.log(4)]])
    assert kl_per_dimension(mu, log_var) == pytest.approx([0, 1, 0.5 * (4 - 1 - np.log(4))])


def test_kl_keeps_its_digits_near_the_prior() -> None:
    # 0.5 lv^2 / 2 is the first term of the series; 1 + lv - exp(lv) in float64 gives noise.
    assert kl_per_dimension(np.zeros((1, 1)), np.full((1, 1), 1e-6)) == pytest.approx(
        0.25e-12, rel=1e-3
    )


def test_dimension_table_agrees_with_numpy_over_several_blocks() -> None:
    rng = np.random.default_rng(3)
    mu, log_var, noise = rng.normal(size=(3, 20_001, 4)).astype(np.float32)
    mu += 1000  # two passes are needed so far from the origin
    z = mu + noise
    table = dimension_table(mu, log_var, z, active_variance=0.01)
    assert table["mean_mu"] == pytest.approx(mu.mean(axis=0, dtype=np.float64))
    assert table["std_mu"] == pytest.approx(mu.std(axis=0, dtype=np.float64))
    assert table["mean_z"] == pytest.approx(z.mean(axis=0, dtype=np.float64))
    assert table["std_z"] == pytest.approx(z.std(axis=0, dtype=np.float64))
    assert table["posterior_variance"] == pytest.approx(
        np.exp(log_var).mean(axis=0, dtype=np.float64)
    )
    assert table["dimension"].tolist() == [0, 1, 2, 3]


def test_dimensions_are_active_where_mu_varies_enough() -> None:
    sign = np.tile([[1.0], [-1.0]], (50, 1))
    # Variances of mu: 0.0081, 0.0121, 0; the last is constant and far off, which is not active.
    mu = np.concatenate([0.09 * sign, 0.11 * sign, np.full_like(sign, 7.0)], axis=1)
    table = dimension_table(mu, np.zeros_like(mu), mu, active_variance=0.01)
    assert table["active"].tolist() == [False, True, False]


def test_constant_mu_has_no_active_dimension(normal: np.ndarray) -> None:
    mu = np.full_like(normal, 0.3)
    summary = summarize(mu, np.zeros_like(mu), mu + normal, active_variance=0.01)
    assert summary["active_dimensions"] == 0
    assert summary["kl_nats_per_image"] == pytest.approx(256 * 0.5 * 0.3**2, rel=1e-5)
    assert summary["mu_radius_mean"] == pytest.approx(0.3 * 16, rel=1e-5)
    assert summary["mu_radius_std"] == pytest.approx(0, abs=1e-5)


def test_radii_are_euclidean() -> None:
    assert radii(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [5, 0]


def test_normal_cloud_has_the_radii_of_chi(normal: np.ndarray) -> None:
    summary = radius_summary(normal)
    assert summary["mean"] == pytest.approx(15.98, abs=0.02)
    assert summary["std"] == pytest.approx(0.71, abs=0.02)
    assert summary["chi_mean"] == pytest.approx(15.9844, abs=1e-4)
    assert summary["chi_std"] == pytest.approx(0.7068, abs=1e-4)
    # 1.63 / sqrt(n) is the 1 % point of the Kolmogorov distribution.
    assert summary["ks_distance"] < 1.63 / np.sqrt(20_000)
    assert summary["wasserstein_distance"] < 0.02
    assert summary["p50"] == pytest.approx(np.sqrt(stats.chi2(256).median()), abs=0.03)
    assert summary["p01"] < summary["p05"] < summary["p25"] < summary["p75"] < summary["p99"]


def test_cube_has_its_own_radii(cube: np.ndarray) -> None:
    summary = radius_summary(cube)
    assert summary["mean"] == pytest.approx(13.86, abs=0.02)
    assert summary["std"] == pytest.approx(0.39, abs=0.01)
    # Below and narrower: hardly any overlap, and the distance is that of the means.
    assert summary["ks_distance"] > 0.9
    assert summary["wasserstein_distance"] == pytest.approx(15.98 - 13.86, abs=0.02)


def test_wasserstein_distance_is_the_shift() -> None:
    lengths = stats.chi(3).ppf((np.arange(1000) + 0.5) / 1000)
    points = np.zeros((1000, 3))
    points[:, 1] = lengths + 0.25
    assert radius_summary(points)["wasserstein_distance"] == pytest.approx(0.25)


def test_covariance_of_a_correlated_normal_comes_back() -> None:
    rng = np.random.default_rng(4)
    covariance = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, 0.0], [0.0, 0.0, 0.25]])
    centre = np.array([3.0, -4.0, 0.0])
    points = rng.multivariate_normal(centre, covariance, size=200_000)
    mean, measured = mean_and_covariance(points)
    assert mean == pytest.approx(centre, abs=0.03)
    assert measured == pytest.approx(covariance, abs=0.05)
    assert measured == pytest.approx(np.cov(points, rowvar=False, bias=True))
    assert strongest_pair(measured) == (0, 1)
    summary = covariance_summary(points)
    assert summary["centre_distance"] == pytest.approx(5, abs=0.03)
    assert summary["largest_correlation"] == pytest.approx(0.6, abs=0.01)
    expected = np.linalg.eigvalsh(covariance)[::-1]
    assert summary["eigenvalues"] == pytest.approx(expected, rel=0.02)
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
    points = np.concatenate([half, -half]) @ rotation
    summary = covariance_summary(points)
    expected = np.sort(values)[::-1]
    assert summary["eigenvalues"] == pytest.approx(expected, rel=1e-6)
    shares = expected / expected.sum()
    rank = np.exp(-(shares * np.log(shares)).sum())
    assert summary["effective_rank"] == pytest.approx(rank, rel=1e-6)
    assert 1 <= summary["effective_rank"] <= d + 1e-9
    assert summary["centre_distance"] == pytest.approx(0, abs=1e-9)


def test_normal_cloud_keeps_to_the_marchenko_pastur_edges(normal: np.ndarray) -> None:
    summary = covariance_summary(normal)
    low, high = summary["marchenko_pastur_edges"]
    assert (low, high) == pytest.approx(((1 - 0.11314) ** 2, (1 + 0.11314) ** 2), rel=1e-4)
    assert summary["eigenvalues"][0] == pytest.approx(high, rel=0.03)
    assert summary["eigenvalues"][-1] == pytest.approx(low, rel=0.03)
    assert summary["effective_rank"] > 253


def test_marchenko_pastur_edges_for_few_points() -> None:
    assert marchenko_pastur_edges(100, 400) == pytest.approx((1, 9))


def test_a_flat_cloud_has_no_condition_number_and_one_point_no_rank() -> None:
    line = np.linspace(-1, 1, 11)[:, None] * np.array([[1.0, 2.0, 0.0]])
    summary = covariance_summary(line)
    assert summary["condition_number"] is None
    assert summary["effective_rank"] == pytest.approx(1)
    assert summary["largest_correlation"] == pytest.approx(1)
    point = covariance_summary(np.full((1, 3), 0.5))
    assert point["condition_number"] is None
    assert point["effective_rank"] == 0
    assert point["largest_correlation"] == 0


def test_constant_dimensions_do_not_correlate() -> None:
    points = np.full((1001, 3), 0.1)
    points[:, 0] = np.random.default_rng(5).normal(size=1001)
    matrix = correlation(mean_and_covariance(points)[1])
    assert matrix == pytest.approx(np.diag([1, 0, 0]))
    assert strongest_pair(np.diag([1.0, 0.0, 0.0])) == (0, 1)


def test_summarize_of_a_perfect_posterior(normal: np.ndarray) -> None:
    mu = np.zeros_like(normal)
    summary = summarize(mu, mu, normal, active_variance=0.01)
    assert summary["images"] == 20_000
    assert summary["z_dim"] == 256
    assert summary["kl_nats_per_image"] == 0
    assert summary["active_dimensions"] == 0
    assert summary["z_radius_mean"] == pytest.approx(summary["chi_mean"], abs=0.02)
    assert summary["std_z_mean"] == pytest.approx(1, abs=0.01)
    assert summary["mean_z_rms"] == pytest.approx(1 / np.sqrt(20_000), rel=0.2)
    assert summary["centre_distance"] == pytest.approx(
        np.sqrt(256) * summary["mean_z_rms"], rel=1e-5
    )
    assert summary["posterior_variance_mean"] == 1


def test_radius_table_holds_densities(normal: np.ndarray, cube: np.ndarray) -> None:
    table = radius_table({"train": radii(normal), "test": radii(cube)}, z_dim=256)
    assert list(table) == ["radius", "train", "test", "chi"]
    width = table["radius"][1] - table["radius"][0]
    for name in ("train", "test", "chi"):
        assert table[name].sum() * width == pytest.approx(1, abs=0.01)
    assert table["train"] == pytest.approx(table["chi"], abs=0.05)
    assert table["radius"][np.argmax(table["test"])] == pytest.approx(13.86, abs=0.3)


def test_component_table_shows_the_chosen_dimensions(normal: np.ndarray) -> None:
    z = normal.copy()
    z[:, 7] += 3
    table = component_table(z, [7, 0])
    assert list(table) == ["z", "component_1", "component_2", "normal"]
    assert table["component_2"] == pytest.approx(table["normal"], abs=0.03)
    assert table["z"][np.argmax(table["component_1"])] == pytest.approx(3, abs=0.5)
    width = table["z"][1] - table["z"][0]
    assert table["component_1"].sum() * width == pytest.approx(1)
