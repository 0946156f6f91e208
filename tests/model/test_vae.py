from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.model.vae import (
    VAE,
    bernoulli_loss,
    describe_layers,
    gaussian_loss,
    kl_divergence,
    losses,
    sample_z,
)
from celeba_vae.params import ModelParams, load_params
from tests.support import ROOT

Make = Callable[..., ModelParams]

# The article's totals; see the table in the README.
TOTALS = [
    (512, None, 9_828_544, 9_826_624),
    (256, None, 5_109_440, 5_107_520),
    (256, 256, 2_881_472, 2_879_552),
    (256, 384, 4_126_784, 4_124_864),
]
DECODER_TOTALS = {512: (5_116_867, 5_115_971), 256: (2_757_571, 2_756_675)}


@pytest.mark.parametrize(("z_dim", "inter_dense", "with_norm", "without"), TOTALS)
def test_totals_of_the_article(
    z_dim: int, inter_dense: int | None, with_norm: int, without: int
) -> None:
    for norm, encoder, decoder in zip(
        (True, False), (with_norm, without), DECODER_TOTALS[z_dim], strict=True
    ):
        params = load_params(
            ROOT / "params.yaml",
            [
                f"model.z_dim={z_dim}",
                f"model.inter_dense={inter_dense or ''}",
                f"model.batch_norm={str(norm).lower()}",
            ],
        ).model
        vae = VAE(params, size=96, seed=1)
        assert vae.encoder.count_params() == encoder
        assert vae.decoder.count_params() == decoder
        report = describe_layers(vae.encoder)
        assert sum(layer["parameters"] for layer in report["layers"]) == encoder
        # Batch normalisation keeps a moving mean and variance for each of 32+64+128+256 maps.
        assert report["parameters"] - report["trainable"] == (2 * 480 if norm else 0)


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "selu", "gelu"])
@pytest.mark.parametrize(
    ("size", "filters", "strides"),
    [(32, [4, 8], [2, 2]), (48, [4, 4, 8], [2, 2, 3]), (16, [4], [1]), (64, [2] * 5, [2] * 5)],
)
def test_shapes_and_finite_output(
    model_params: Make, activation: str, size: int, filters: list[int], strides: list[int]
) -> None:
    params = model_params(
        filters=filters, strides=strides, activation=activation, inter_dense=5, kernel=4
    )
    vae = VAE(params, size=size, seed=1)
    images = np.random.default_rng(0).uniform(size=(3, size, size, 3)).astype(np.float32)
    logits, mu, log_var = vae(images, np.zeros((3, 6), np.float32))
    assert logits.shape == images.shape
    assert mu.shape == log_var.shape == (3, 6)
    assert np.isfinite(logits).all()


def test_leaky_slope_is_the_articles(model_params: Make) -> None:
    vae = VAE(model_params(), size=32, seed=1)
    layer = vae.encoder.get_layer("activation_1")
    assert np.allclose(layer(np.array([-2.0, 3.0])), [-0.6, 3.0])


def test_initial_weights_depend_on_the_seed_alone(model_params: Make) -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        weights = VAE(model_params(), size=32, seed=seed).trainable_weights
        return [np.asarray(w).ravel() for w in weights if w.name == "kernel"]

    keras.utils.set_random_seed(123)
    first, again, other = kernels(1), kernels(1), kernels(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    everything = first + other
    # No two layers, nor two seeds, start alike: not even in their first numbers.
    assert len({tuple(kernel[:8]) for kernel in everything}) == len(everything)


@settings(max_examples=50, deadline=None)
@given(mu=st.floats(-3, 3), log_var=st.floats(-4, 2))
def test_kl_agrees_with_monte_carlo(mu: float, log_var: float) -> None:
    generator = np.random.default_rng(0)
    deviation = np.exp(log_var / 2)
    z = mu + deviation * generator.standard_normal(200_000)
    log_ratio = -((z - mu) ** 2) / (2 * deviation**2) - np.log(deviation) + z**2 / 2
    closed = float(kl_divergence(np.array([[mu]]), np.array([[log_var]]))[0])
    assert closed == pytest.approx(
        log_ratio.mean(), abs=6 * log_ratio.std() / np.sqrt(len(z)) + 1e-9
    )


def test_kl_closed_forms() -> None:
    zeros = np.zeros((2, 5), np.float32)
    assert np.allclose(kl_divergence(zeros, zeros), 0)
    assert np.allclose(kl_divergence(zeros + 2, zeros), 5 * 2.0)
    expected = 5 * 0.5 * (np.e - 2)
    assert np.allclose(kl_divergence(zeros, zeros + 1), expected)


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


def test_gaussian_loss_is_half_the_squared_error() -> None:
    images = np.full((2, 4, 4, 3), 0.5)
    logits = np.full((2, 4, 4, 3), np.log(3.0))  # sigmoid 0.75
    assert np.allclose(gaussian_loss(images, logits), 0.5 * 48 * 0.25**2)


def test_sample_z() -> None:
    mu, log_var = np.array([[1.0, 2.0]]), np.log(np.array([[4.0, 9.0]]))
    assert np.allclose(sample_z(mu, log_var, np.array([[0.0, 0.0]])), mu)
    assert np.allclose(sample_z(mu, log_var, np.array([[1.0, -1.0]])), [[3.0, -1.0]])


def batch_losses(vae: VAE, images: np.ndarray, noise: np.ndarray, kind: str) -> dict[str, float]:
    terms = losses(vae, images, noise, loss=kind, kl_weight=3.0, training=False)
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_loss_is_reconstruction_plus_weighted_kl(
    model_params: Make, random_images: np.ndarray, kind: str
) -> None:
    vae = VAE(model_params(), size=32, seed=1)
    noise = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)
    terms = batch_losses(vae, random_images, noise, kind)
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + 3 * terms["kl"])
    _, mu, log_var = vae(random_images / np.float32(255), noise)
    assert terms["kl"] == pytest.approx(float(np.mean(kl_divergence(mu, log_var))), rel=1e-5)
    # A mean over images: a batch made of twice the same images costs the same.
    twice = batch_losses(vae, np.tile(random_images, (2, 1, 1, 1)), np.tile(noise, (2, 1)), kind)
    assert twice == pytest.approx(terms, rel=1e-5)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_gradients_agree_with_finite_differences(
    model_params: Make, random_images: np.ndarray, kind: str
) -> None:
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        # gelu is smooth; a kink between the two points would spoil the difference.
        vae = VAE(model_params(activation="gelu", inter_dense=5), size=32, seed=1)
        pixels = random_images[:4] / 255.0
        noise = np.random.default_rng(1).standard_normal((4, 6))

        def loss() -> tf.Tensor:
            logits, mu, log_var = vae(pixels, noise, training=False)
            part = {"bernoulli": bernoulli_loss, "gaussian": gaussian_loss}[kind]
            return tf.reduce_mean(part(pixels, logits) + 3.0 * kl_divergence(mu, log_var))

        with tf.GradientTape() as tape:
            value = loss()
        weights = vae.trainable_weights
        gradients = tape.gradient(value, [weight.value for weight in weights])
        generator = np.random.default_rng(2)
        for weight, gradient in zip(weights, gradients, strict=True):
            direction = generator.standard_normal(weight.shape)
            start, step = weight.numpy(), 1e-5
            weight.assign(start + step * direction)
            above = float(loss())
            weight.assign(start - step * direction)
            below = float(loss())
            weight.assign(start)
            expected = (above - below) / (2 * step)
            measured = float(np.sum(np.asarray(gradient) * direction))
            assert measured == pytest.approx(expected, rel=1e-5, abs=1e-6), weight.path
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
