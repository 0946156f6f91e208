import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.statistics import (
    component_statistics,
    component_table,
    covariance_summary,
    dimension_table,
    expected_ks_distance,
    kl_per_dimension,
    kl_terms,
    mahalanobis_law,
    mahalanobis_summary,
    marchenko_pastur_edges,
    marchenko_pastur_eigenvalues,
    radius_summary,
    radius_table,
    squared_mahalanobis,
    strongest_pairs,
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


def test_kl_of_each_image_has_the_kl_of_the_dimensions_as_its_mean() -> None:
    mu, log_var = np.random.default_rng(11).normal(size=(2, 9000, 3))
    terms = kl_terms(mu, log_var)
    assert terms.shape == (9000, 3)
    assert terms[7, 2] == pytest.approx(kl_per_dimension(mu[7:8], log_var[7:8])[2])
    assert terms.mean(axis=0) == pytest.approx(kl_per_dimension(mu, log_var))


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
    assert table["mu_mean"] == pytest.approx(mu.mean(axis=0, dtype=np.float64))
    assert table["mu_std"] == pytest.approx(mu.std(axis=0, dtype=np.float64))
    assert table["z_mean"] == pytest.approx(z.mean(axis=0, dtype=np.float64))
    assert table["z_std"] == pytest.approx(z.std(axis=0, dtype=np.float64))
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


def test_a_plain_autoencoder_has_no_statistics_of_log_var() -> None:
    mu = np.random.default_rng(6).normal(size=(100, 3))
    table = dimension_table(mu, None, mu, active_variance=0.01)
    assert "kl" not in table
    assert "posterior_variance" not in table
    assert table["active"].all()
    assert table["z_std"].tolist() == table["mu_std"].tolist()


def test_each_dimension_agrees_with_scipy_over_several_blocks_of_columns() -> None:
    rng = np.random.default_rng(7)
    points = np.concatenate([rng.normal(size=(500, 9)), rng.exponential(size=(500, 9))], axis=1)
    columns = component_statistics(points)
    assert columns["skewness"] == pytest.approx(stats.skew(points))
    assert columns["excess_kurtosis"] == pytest.approx(stats.kurtosis(points))
    assert columns["p25"] == pytest.approx(np.percentile(points, 25, axis=0))
    assert columns["p99"] == pytest.approx(np.percentile(points, 99, axis=0))
    for place, values in enumerate(points.T):
        ks = stats.ks_1samp(values, stats.norm.cdf, method="asymp").statistic
        assert columns["ks_distance"][place] == pytest.approx(ks)
        normal = stats.norm.ppf((np.arange(500) + 0.5) / 500)
        moved = stats.wasserstein_distance(values, normal)
        assert columns["wasserstein_distance"][place] == pytest.approx(moved)


def test_shift_and_stretch_have_their_closed_form_distances() -> None:
    quantiles = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    points = np.stack([quantiles + 0.5, 2 * quantiles, np.full(4000, 0.1)], axis=1)
    columns = component_statistics(points)
    # The largest gap of two normal distributions half a deviation apart is in the middle.
    assert columns["ks_distance"][0] == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=1e-3)
    assert columns["wasserstein_distance"][0] == pytest.approx(0.5)
    # E|2x - x| = E|x|.
    assert columns["wasserstein_distance"][1] == pytest.approx(np.sqrt(2 / np.pi), rel=1e-3)
    # A constant has no shape, whatever rounding leaves of its deviation.
    for name in ("std", "skewness", "excess_kurtosis"):
        assert columns[name][2] == 0


def test_samples_of_the_normal_have_the_expected_ks_distance(normal: np.ndarray) -> None:
    measured = component_statistics(normal[:, :64])["ks_distance"].mean()
    assert measured == pytest.approx(expected_ks_distance(len(normal)), rel=0.1)


def test_normal_cloud_has_the_radii_of_chi(normal: np.ndarray) -> None:
    summary = radius_summary(Cloud(normal))
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
    summary = radius_summary(Cloud(cube))
    assert summary["mean"] == pytest.approx(13.86, abs=0.02)
    assert summary["std"] == pytest.approx(0.39, abs=0.01)
    # Below and narrower: hardly any overlap, and the distance is that of the means.
    assert summary["ks_distance"] > 0.9
    assert summary["wasserstein_distance"] == pytest.approx(15.98 - 13.86, abs=0.02)


def test_wasserstein_distance_is_the_shift() -> None:
    lengths = stats.chi(3).ppf((np.arange(1000) + 0.5) / 1000)
    points = np.zeros((1000, 3))
    points[:, 1] = lengths + 0.25
    assert radius_summary(Cloud(points))["wasserstein_distance"] == pytest.approx(0.25)


def test_normal_cloud_keeps_to_the_marchenko_pastur_edges(normal: np.ndarray) -> None:
    cloud = Cloud(normal)
    summary = covariance_summary(cloud)
    low, high = summary["marchenko_pastur_edges"]
    assert (low, high) == pytest.approx(((1 - 0.11314) ** 2, (1 + 0.11314) ** 2), rel=1e-4)
    assert cloud.eigenvalues[0] == pytest.approx(high, rel=0.03)
    assert cloud.eigenvalues[-1] == pytest.approx(low, rel=0.03)
    assert summary["effective_rank"] > 253


def test_marchenko_pastur_edges_for_few_points() -> None:
    assert marchenko_pastur_edges(100, 400) == pytest.approx((1, 9))


def test_a_flat_cloud_has_no_condition_number_and_one_point_no_rank() -> None:
    line = np.linspace(-1, 1, 11)[:, None] * np.array([[1.0, 2.0, 0.0]])
    summary = covariance_summary(Cloud(line))
    assert summary["condition_number"] is None
    assert summary["effective_rank"] == pytest.approx(1)
    assert summary["largest_correlation"] == pytest.approx(1)
    point = covariance_summary(Cloud(np.full((1, 3), 0.5)))
    assert point["condition_number"] is None
    assert point["effective_rank"] == 0
    assert point["largest_correlation"] == 0


def test_points_at_one_distance_have_no_deviation_of_it() -> None:
    # Their mean is not exactly any of them.
    summary = radius_summary(Cloud(np.full((49, 3), 0.1, np.float32)))
    assert summary["std"] == 0


def test_strongest_pairs_share_no_dimension_while_there_are_others() -> None:
    correlation = np.eye(5)
    for (i, j), value in {(0, 1): 0.9, (0, 2): -0.8, (1, 2): 0.7, (3, 4): -0.2}.items():
        correlation[i, j] = correlation[j, i] = value
    assert strongest_pairs(correlation, count=3) == [(0, 1), (3, 4), (0, 2)]
    assert len(strongest_pairs(np.eye(2), count=6)) == 1


def test_marchenko_pastur_gives_the_spectrum_of_a_sample(normal: np.ndarray) -> None:
    few = normal[:512].astype(np.float64)
    measured = np.linalg.eigvalsh(few.T @ few / 512)[::-1]
    expected = marchenko_pastur_eigenvalues(512, 256)
    assert expected == pytest.approx(measured, abs=0.06)
    assert expected.mean() == pytest.approx(1, abs=1e-3)
    # Fewer points than dimensions: as many zeros as directions without a point.
    flat = marchenko_pastur_eigenvalues(64, 256)
    assert (flat[64:] == 0).all()
    measured = np.linalg.eigvalsh(few[:64].T @ few[:64] / 64)[::-1]
    assert flat[:64] == pytest.approx(measured[:64], rel=0.05)


def test_mahalanobis_undoes_shift_and_stretch_of_an_ellipsoid() -> None:
    rng = np.random.default_rng(8)
    noise = rng.normal(size=(3000, 5))
    mixing = np.diag([10.0, 3.0, 1.0, 0.3, 0.1]) @ rng.normal(size=(5, 5))
    points = 50 + noise @ mixing
    squared = squared_mahalanobis(points, Cloud(points))
    plain = squared_mahalanobis(noise, Cloud(noise))
    assert squared == pytest.approx(plain, rel=1e-6)
    assert squared.mean() == pytest.approx(5)


def test_mahalanobis_distances_of_normal_points_follow_their_law() -> None:
    rng = np.random.default_rng(9)
    own, new = rng.normal(size=(2, 600, 100))
    fitted = Cloud(own)
    for points, fitted_ones in ((own, True), (new, False)):
        squared = squared_mahalanobis(points, fitted)
        summary = mahalanobis_summary(squared, fitted=600, dimensions=100, own=fitted_ones)
        assert summary["ks_distance_to_expected"] < 1.63 / np.sqrt(600)
        assert summary["mean"] == pytest.approx(summary["expected_mean"], rel=0.02)
    # With six images for each dimension, new ones seem much farther out than chi-square says.
    assert summary["ks_distance_to_chi2"] > 0.3
    assert summary["expected_mean"] == pytest.approx(100 * 599 * 601 / (600 * 498), rel=1e-2)
    assert (summary["chi2_mean"], summary["chi2_std"]) == pytest.approx((100, np.sqrt(200)))


def test_with_many_images_the_law_is_chi_square() -> None:
    places = stats.chi2(8).ppf([0.01, 0.5, 0.99])
    for own in (True, False):
        law = mahalanobis_law(10**6, 8, own=own)
        assert law.cdf(places) == pytest.approx([0.01, 0.5, 0.99], abs=1e-4)


def test_radius_table_holds_densities(normal: np.ndarray, cube: np.ndarray) -> None:
    table = radius_table({"train": Cloud(normal).radii, "test": Cloud(cube).radii}, z_dim=256)
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
