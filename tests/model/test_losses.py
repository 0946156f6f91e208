from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, special, stats

from celeba_vae.model.losses import (
    SMALLEST_VARIANCE,
    bernoulli_loss,
    floored_kl,
    gaussian_loss,
    kl_divergence,
    optimal_variance,
    vae_losses,
)
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams

Make = Callable[..., ModelParams]


@settings(max_examples=50, deadline=None)
@given(mu=st.floats(-3, 3), log_var=st.floats(-4, 2))
def test_kl_agrees_with_monte_carlo(mu: float, log_var: float) -> None:
    generator = np.random.default_rng(0)
    deviation = np.exp(log_var / 2)
    z = mu + deviation * generator.standard_normal(200_000)
    log_ratio = -((z - mu) ** 2) / (2 * deviation**2) - np.log(deviation) + z**2 / 2
    closed = float(kl_divergence(np.array([[mu]]), np.array([[log_var]]))[0, 0])
    assert closed == pytest.approx(
        log_ratio.mean(), abs=6 * log_ratio.std() / np.sqrt(len(z)) + 1e-9
    )


def test_kl_closed_forms() -> None:
    zeros = np.zeros((2, 5), np.float32)
    assert np.allclose(kl_divergence(zeros, zeros), 0)
    assert np.allclose(kl_divergence(zeros + 2, zeros), 2.0)
    assert np.allclose(kl_divergence(zeros, zeros + 1), 0.5 * (np.e - 2))


def test_bernoulli_loss_is_the_binary_cross_entropy() -> None:
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(4, 8, 8, 3))
    logits = generator.normal(size=(4, 8, 8, 3)) * 3
    p = 1 / (1 + np.exp(-logits))
    expected = -(images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=(1, 2, 3))
    assert np.allclose(bernoulli_loss(images, logits), expected)


def test_bernoulli_loss_of_huge_logits_stays_finite() -> None:
    logits = np.array([1000.0, -1000.0], np.float32).reshape(2, 1, 1, 1)
    images = np.ones((2, 1, 1, 1), np.float32)
    assert np.allclose(bernoulli_loss(images, logits), [0.0, 1000.0])


def test_gaussian_loss_is_the_normal_density_with_its_constant() -> None:
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(4, 8, 8, 3))
    p = generator.uniform(size=(4, 8, 8, 3))
    for sigma in (0.01, 0.3, 1.0, 5.0):
        expected = -stats.norm.logpdf(images, p, sigma).sum(axis=(1, 2, 3))
        loss = gaussian_loss(np.square(images - p), np.float64(sigma**2))
        assert np.allclose(loss, expected, rtol=1e-12)


def test_optimal_variance_makes_the_batch_most_likely() -> None:
    squared_error = np.random.default_rng(0).uniform(0, 0.2, (5, 4, 4, 3)) ** 2
    best = optimize.minimize_scalar(
        lambda log_variance: float(np.mean(gaussian_loss(squared_error, np.exp(log_variance)))),
        bounds=(-12, 2),
    )
    assert float(optimal_variance(squared_error)) == pytest.approx(np.exp(best.x), rel=1e-4)
    assert float(optimal_variance(squared_error)) == pytest.approx(squared_error.mean())


def test_an_exact_reconstruction_has_a_finite_optimal_loss() -> None:
    variance = optimal_variance(np.zeros((2, 4, 4, 3)))
    assert float(variance) == pytest.approx(SMALLEST_VARIANCE)
    # That of rounding to whole grey levels, of which a 255th is the unit.
    rounded = np.random.default_rng(0).uniform(0, 255, 1_000_000)
    assert np.mean((np.rint(rounded) - rounded) ** 2) / 255**2 == pytest.approx(
        SMALLEST_VARIANCE, rel=0.01
    )
    loss = gaussian_loss(np.zeros((2, 4, 4, 3)), variance)
    assert np.allclose(loss, 24 * np.log(2 * np.pi * SMALLEST_VARIANCE))


@settings(max_examples=50, deadline=None)
@given(
    kl=arrays(np.float64, st.integers(1, 9), elements=st.floats(0, 5)), floor=st.floats(0.001, 2)
)
def test_free_bits_floor_each_dimension(kl: np.ndarray, floor: float) -> None:
    assert float(floored_kl(kl, floor)) == pytest.approx(np.maximum(kl, floor).sum())
    assert float(floored_kl(kl, 0.0)) == pytest.approx(kl.sum())


def test_a_dimension_below_the_floor_has_no_gradient() -> None:
    kl = tf.Variable([0.01, 0.3, 0.0])
    with tf.GradientTape() as tape:
        total = floored_kl(kl, 0.1)
    assert tape.gradient(total, kl).numpy().tolist() == [0.0, 1.0, 0.0]


KINDS: list[tuple[str, Any]] = [
    ("bernoulli", None),
    ("gaussian", 0.3),
    ("gaussian", "learned"),
    ("gaussian", "optimal"),
]


def make_vae(params: ModelParams, sigma: Any, precision: str = "float32") -> VAE:
    return VAE(params, size=32, seed=1, learned_sigma=sigma == "learned", precision=precision)


def batch_losses(
    vae: VAE, images: np.ndarray, noise: np.ndarray, loss: str, sigma: Any, **changes: Any
) -> dict[str, np.ndarray]:
    options = {"kl_weight": 3.0, "free_bits": 0.0, "training": False} | changes
    terms = vae_losses(vae, images, noise, loss=loss, sigma=sigma, **options)
    return {name: np.asarray(value) for name, value in terms.items()}


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)


@pytest.mark.parametrize(("loss", "sigma"), KINDS)
def test_terms_add_up_and_are_means_over_the_images(
    model_params: Make, random_images: np.ndarray, noise: np.ndarray, loss: str, sigma: Any
) -> None:
    vae = make_vae(model_params(), sigma)
    terms = batch_losses(vae, random_images, noise, loss, sigma)
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + terms["kl_weighted"])
    assert terms["kl_weighted"] == pytest.approx(3 * terms["kl"])
    logits, mu, log_var = map(np.asarray, vae(random_images / np.float32(255), noise))
    by_dimension = 0.5 * (mu**2 + np.exp(log_var) - 1 - log_var).mean(axis=0)
    assert terms["kl_per_dimension"] == pytest.approx(by_dimension, rel=1e-4, abs=1e-7)
    assert terms["kl"] == pytest.approx(by_dimension.sum(), rel=1e-5)
    images, p = random_images / 255, special.expit(logits.astype(np.float64))
    if loss == "bernoulli":
        expected = -(special.xlogy(images, p) + special.xlogy(1 - images, 1 - p))
    else:
        root = np.sqrt(np.mean((images - p) ** 2))
        deviation = {"learned": 0.25, "optimal": root}.get(sigma, sigma)
        expected = -stats.norm.logpdf(images, p, deviation)
    assert terms["reconstruction"] == pytest.approx(expected.sum() / 40, rel=1e-5)
    # A mean over images: a batch made of twice the same images costs the same.
    twice = batch_losses(
        vae, np.tile(random_images, (2, 1, 1, 1)), np.tile(noise, (2, 1)), loss, sigma
    )
    for name in terms:
        assert twice[name] == pytest.approx(terms[name], rel=1e-4, abs=1e-6)


def test_the_weighted_kl_is_floored_and_the_kl_is_not(
    model_params: Make, random_images: np.ndarray, noise: np.ndarray
) -> None:
    vae = make_vae(model_params(), None)
    plain = batch_losses(vae, random_images, noise, "bernoulli", None)
    floor = float(np.median(plain["kl_per_dimension"]))
    floored = batch_losses(vae, random_images, noise, "bernoulli", None, free_bits=floor)
    assert floored["kl"] == plain["kl"]
    expected = 3 * np.maximum(plain["kl_per_dimension"], floor).sum()
    assert floored["kl_weighted"] == pytest.approx(expected)
    assert floored["kl_weighted"] > plain["kl_weighted"]
    # A schedule hands the weight over as a tensor.
    weight = tf.constant(3.0)
    assert batch_losses(vae, random_images, noise, "bernoulli", None, kl_weight=weight)[
        "loss"
    ] == pytest.approx(plain["loss"])


def test_the_plain_autoencoder_has_no_kl_and_no_noise(
    model_params: Make, random_images: np.ndarray, noise: np.ndarray
) -> None:
    vae = make_vae(model_params(variational=False), None)
    terms = batch_losses(vae, random_images, noise, "bernoulli", None, free_bits=0.1)
    assert set(terms) == {"loss", "reconstruction", "kl", "kl_weighted"}
    assert terms["loss"] == terms["reconstruction"]
    assert terms["kl"] == terms["kl_weighted"] == 0
    again = batch_losses(vae, random_images, 2 * noise, "bernoulli", None)
    assert again["loss"] == terms["loss"]


CASES: list[tuple[str, Any, dict[str, Any]]] = [
    *((loss, sigma, {}) for loss, sigma in KINDS),
    ("gaussian", "optimal", {"variational": False}),
    ("bernoulli", None, {"log_var_bound": 0.5}),
    ("bernoulli", None, {"blocks": "residual", "batch_norm": False}),
]


@pytest.mark.parametrize(("loss", "sigma", "changes"), CASES)
def test_gradients_agree_with_finite_differences(
    model_params: Make,
    random_images: np.ndarray,
    loss: str,
    sigma: Any,
    changes: dict[str, Any],
) -> None:
    keras.config.set_floatx("float64")
    try:
        # gelu is smooth; a kink between the two points would spoil the difference.
        model = model_params(activation="gelu", inter_dense=5, **changes)
        vae = make_vae(model, sigma, "float64")
        noise = np.random.default_rng(1).standard_normal((4, 6))

        @tf.function
        def value() -> tf.Tensor:
            return vae_losses(
                vae,
                random_images[:4],
                noise,
                loss=loss,
                sigma=sigma,
                kl_weight=3.0,
                free_bits=0.0,
                training=False,
            )["loss"]

        with tf.GradientTape() as tape:
            total = value()
        weights = vae.trainable_weights
        assert ("log_sigma" in {weight.name for weight in weights}) == (sigma == "learned")
        gradients = tape.gradient(total, [weight.value for weight in weights])
        generator = np.random.default_rng(2)
        for weight, gradient in zip(weights, gradients, strict=True):
            direction = generator.standard_normal(weight.shape)
            start, step = weight.numpy(), 1e-5
            weight.assign(start + step * direction)
            above = float(value())
            weight.assign(start - step * direction)
            below = float(value())
            weight.assign(start)
            expected = (above - below) / (2 * step)
            measured = float(np.sum(np.asarray(gradient) * direction))
            assert measured == pytest.approx(expected, rel=1e-5, abs=1e-5), weight.path
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.native
@pytest.mark.parametrize(("loss", "sigma"), KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_changes_losses_by_a_few_per_mille(
    model_params: Make,
    random_images: np.ndarray,
    noise: np.ndarray,
    loss: str,
    sigma: Any,
    training: bool,
) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        vae = make_vae(model_params(), sigma, precision)
        found[precision] = batch_losses(vae, random_images, noise, loss, sigma, training=training)
        assert {value.dtype for value in found[precision].values()} == {np.dtype("float32")}
    for term in ("loss", "reconstruction"):
        exact = found["float32"][term]
        assert found["bfloat16"][term] == pytest.approx(exact, rel=3e-3)
        assert found["bfloat16"][term] != exact
    assert found["bfloat16"]["kl"] == pytest.approx(found["float32"]["kl"], rel=2e-2)
