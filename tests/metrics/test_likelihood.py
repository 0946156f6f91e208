import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from celeba_vae.metrics.likelihood import (
    fit_sigma,
    importance_bounds,
    likelihood_bounds,
    log_bin_mass,
    log_weights,
)
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.model.vae import VAE
from celeba_vae.params import Params
from celeba_vae.shards.read import Split
from tests.support import untrained

VALUES = np.arange(256, dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tiny: Params) -> Pretrained:
    vae = VAE(tiny.model, size=32, seed=1)
    return untrained(vae)


@given(mean=st.floats(0, 1), sigma=st.floats(1e-3, 10))
@settings(max_examples=50, deadline=None)
def test_the_values_of_a_pixel_share_the_probability_1(mean: float, sigma: float) -> None:
    mass = log_bin_mass(VALUES, np.array(mean), sigma)
    assert np.isfinite(mass).all()
    assert np.exp(mass).sum() == pytest.approx(1, abs=1e-9)


def test_bins_are_those_of_the_normal_distribution() -> None:
    mass = np.exp(log_bin_mass(VALUES, np.array(0.3), 0.1))
    normal = norm(0.3, 0.1)
    assert mass[0] == pytest.approx(normal.cdf(0.5 / 255))
    assert mass[255] == pytest.approx(normal.sf(254.5 / 255))
    assert mass[100] == pytest.approx(normal.cdf(100.5 / 255) - normal.cdf(99.5 / 255))
    # Equally far on both sides, and so far that the probability itself is no number any more.
    far = log_bin_mass(np.array([0, 255], np.uint8), np.array([1.0, 0.0]), 0.01)
    assert far[0] == pytest.approx(far[1])
    assert far[0] == pytest.approx(norm.logcdf((0.5 / 255 - 1) / 0.01))


def test_the_exact_posterior_gives_the_exact_likelihood_whatever_the_noise() -> None:
    # z from N(0, 1), x from N(2 z, 0.25): z given x has the variance 1 / (1 + 16).
    x = 1.3
    log_var = np.array([-math.log(17)])
    mu = np.array([8 * x / 17])
    noise = np.random.default_rng(1).standard_normal((64, 1))
    z = mu + np.exp(log_var / 2) * noise
    log_likelihood = norm(2 * z[:, 0], 0.5).logpdf(x)
    weights = log_weights(log_likelihood, mu, log_var, noise)
    assert np.allclose(weights, norm(0, math.sqrt(4.25)).logpdf(x))


def test_bounds_rise_to_the_exact_likelihood_of_a_linear_model() -> None:
    generator = np.random.default_rng(2)
    directions = generator.standard_normal((5, 3))
    points = generator.multivariate_normal(np.zeros(5), directions @ directions.T + np.eye(5), 40)
    exact = multivariate_normal(np.zeros(5), directions @ directions.T + np.eye(5)).logpdf(points)
    # The posterior has the covariance C = (1 + W'W)^-1; its diagonal, widened, is a poor guess.
    covariance = np.linalg.inv(np.eye(3) + directions.T @ directions)
    log_var = np.log(1.5 * np.diag(covariance))
    weights = np.empty((40, 4096))
    for i, x in enumerate(points):
        mu = covariance @ directions.T @ x
        noise = generator.standard_normal((4096, 3))
        z = mu + np.exp(log_var / 2) * noise
        log_likelihood = norm(z @ directions.T, 1).logpdf(x).sum(axis=1)
        weights[i] = log_weights(log_likelihood, mu, log_var, noise)
    bounds = importance_bounds(weights)
    assert list(bounds) == [2**power for power in range(13)]
    assert (np.diff(list(bounds.values())) > 0).all()
    assert bounds[1] < exact.mean() - 0.3
    assert bounds[4096] == pytest.approx(exact.mean(), abs=0.01)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_bounds_never_fall_with_more_samples(seed: int) -> None:
    weights = 100 * np.random.default_rng(seed).standard_normal((3, 16))
    bounds = list(importance_bounds(weights).values())
    assert (np.diff(bounds) >= 0).all()
    assert bounds[0] == pytest.approx(weights.mean())


def test_other_numbers_than_powers_of_two_are_refused() -> None:
    with pytest.raises(ValueError, match="6 samples are not a power of 2"):
        importance_bounds(np.zeros((2, 6)))


def test_sigma_is_the_deviation_of_the_training_images(
    model: Pretrained, random_images: np.ndarray
) -> None:
    split = Split((random_images,), np.array([0, len(random_images)]))
    rows = np.array([3, 1, 2])
    sigma = fit_sigma(model, split, rows, seed=1)
    # An untrained Decoder gives about 1/2 for every pixel.
    expected = np.sqrt(np.square(random_images[rows] / 255 - 0.5).mean())
    assert sigma == pytest.approx(expected, rel=0.02)
    assert sigma == fit_sigma(model, split, rows, seed=1)
    assert sigma != fit_sigma(model, split, rows, seed=2)


def test_bounds_of_a_model_agree_with_each_other(
    model: Pretrained, random_images: np.ndarray
) -> None:
    images = random_images[:4]
    sigma = 0.3
    elbo, bounds = likelihood_bounds(model, images, samples=256, sigma=sigma, seed=1)
    # L_1 has the KL by sampling, the ELBO in closed form.
    assert bounds[1] == pytest.approx(elbo, abs=0.5)
    assert bounds[256] >= bounds[1]
    # Of the closed form: the images' bins under the Decoder's mean, which hardly hangs on z.
    mu, log_var = model.encode(images)
    assert log_var is not None
    mass = log_bin_mass(images, model.decode_mean(mu), sigma).sum(axis=(1, 2, 3)).mean()
    kl = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).sum(axis=1).mean()
    assert elbo == pytest.approx(mass - kl, rel=1e-3)


@pytest.mark.parametrize("factor", [0, 0.5, 2])
def test_sigma_and_bounds_are_those_of_the_posterior_whatever_noise_factor_is_kept(
    tiny: Params, random_images: np.ndarray, factor: float
) -> None:
    # With a single dimension the likelihood is an integral that a grid gives exactly.
    vae = VAE(tiny.model.model_copy(update={"z_dim": 1}), size=32, seed=1)
    # An untrained Decoder hardly hangs on z: stretched, it does.
    vae.decoder.set_weights([2 * weight for weight in vae.decoder.get_weights()])
    model = untrained(vae)
    split = Split((random_images,), np.array([0, len(random_images)]))
    images = random_images[:3]

    def measured() -> tuple[float, float, dict[int, float]]:
        sigma = fit_sigma(model, split, np.arange(20), seed=1)
        return sigma, *likelihood_bounds(model, images, samples=64, sigma=sigma, seed=1)

    expected = measured()
    model.set_noise_factor(factor)
    assert measured() == expected

    sigma, elbo, bounds = expected
    grid = np.linspace(-6, 6, 601)
    means = model.decode_mean(grid[:, None])
    given_z = np.stack([log_bin_mass(image, means, sigma).sum((1, 2, 3)) for image in images])
    exact = logsumexp(given_z + norm.logpdf(grid) + np.log(grid[1] - grid[0]), axis=1).mean()
    assert elbo < bounds[64] < exact
    assert bounds[64] == pytest.approx(exact, abs=0.3)


def test_a_plain_autoencoder_has_no_likelihood(tiny: Params, random_images: np.ndarray) -> None:
    plain = tiny.model.model_copy(update={"variational": False})
    model = untrained(VAE(plain, size=32, seed=1))
    with pytest.raises(ValueError, match="no likelihood"):
        likelihood_bounds(model, random_images[:2], samples=2, sigma=0.1, seed=1)
