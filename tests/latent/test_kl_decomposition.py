import numpy as np
import pytest

from celeba_vae.latent.kl_decomposition import decompose_kl
from celeba_vae.latent.statistics import kl_per_dimension

Posterior = tuple[np.ndarray, np.ndarray, np.ndarray]


def _posterior(mu: np.ndarray, deviation: float, seed: int = 1) -> Posterior:
    log_var = np.full_like(mu, 2 * np.log(deviation))
    noise = np.random.default_rng(seed).standard_normal(mu.shape)
    return mu, log_var, mu + deviation * noise


def test_where_the_posterior_is_the_prior_there_is_no_rate() -> None:
    rate = decompose_kl(*_posterior(np.zeros((300, 20)), 1.0), seed=1)
    for name in ("index_code_mutual_information", "total_correlation", "dimension_wise_kl"):
        assert rate[name] == pytest.approx(0, abs=1e-9)
    assert rate["evaluated_images"] == rate["reference_images"] == 300


def test_the_parts_add_up_to_the_kl_loss() -> None:
    mu = 0.5 * np.random.default_rng(2).standard_normal((6000, 8))
    mu, log_var, z = _posterior(mu, 0.7)
    rate = decompose_kl(mu, log_var, z, seed=1)
    assert (rate["evaluated_images"], rate["reference_images"]) == (512, 4096)
    parts = ("index_code_mutual_information", "total_correlation", "dimension_wise_kl")
    assert sum(rate[name] for name in parts) == pytest.approx(rate["rate"])
    assert rate["marginal_kl"] == pytest.approx(
        rate["total_correlation"] + rate["dimension_wise_kl"]
    )
    kl = kl_per_dimension(mu, log_var).sum()
    assert rate["rate"] == pytest.approx(kl, abs=4 * rate["rate_standard_error"])


def test_codes_that_do_not_overlap_tell_the_image_and_no_more() -> None:
    mu = 1000.0 * np.arange(64)[:, None] * np.ones(3)
    rate = decompose_kl(*_posterior(mu, 0.1), seed=1)
    assert rate["index_code_mutual_information"] == pytest.approx(np.log(64))
    assert rate["mutual_information_limit"] == pytest.approx(np.log(64))
    # All three dimensions say the same: two of the three times ln 64 nats are said again.
    assert rate["total_correlation"] == pytest.approx(2 * np.log(64))


def test_a_normal_aggregate_posterior_has_its_closed_form_parts() -> None:
    # q(z) is N(0, C) with C = cov(mu) + s^2 I; enough images that each code overlaps with many.
    rng = np.random.default_rng(3)
    covariance, s = np.array([[1.0, 0.6], [0.6, 0.8]]), 0.8
    mu = rng.multivariate_normal([0, 0], covariance, size=4000)
    rate = decompose_kl(*_posterior(mu, s), seed=1)
    total = covariance + s**2 * np.eye(2)
    variances = np.diag(total)
    information = 0.5 * np.log(np.linalg.det(total) / s**4)
    correlation = 0.5 * np.log(variances.prod() / np.linalg.det(total))
    dimension_wise = 0.5 * (variances - 1 - np.log(variances)).sum()
    # The deviation of a mean over 512 images.
    assert rate["index_code_mutual_information"] == pytest.approx(information, abs=0.12)
    assert rate["total_correlation"] == pytest.approx(correlation, abs=0.08)
    assert rate["dimension_wise_kl"] == pytest.approx(dimension_wise, abs=0.12)


def test_a_narrow_posterior_far_from_the_others_stays_finite() -> None:
    mu = np.random.default_rng(4).normal(size=(50, 4))
    mu[0] = 1e4
    rate = decompose_kl(*_posterior(mu.astype(np.float32), 1e-3), seed=1)
    assert all(np.isfinite(value) for value in rate.values())
