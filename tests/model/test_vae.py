from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from celeba_vae.model.decoder import build_decoder
from celeba_vae.model.encoder import build_encoder
from celeba_vae.model.vae import VAE, describe_layers, sample_z
from celeba_vae.params import ModelParams, load_params
from celeba_vae.verify.tiny_params import TINY
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

POINTS = arrays(np.float32, (3, 5), elements=st.floats(-50, 50, width=32))


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
    ("size", "filters", "strides", "blocks"),
    [
        (32, [4, 8], [2, 2], "plain"),
        (48, [4, 4, 8], [2, 2, 3], "plain"),
        (16, [4], [1], "plain"),
        (64, [2] * 5, [2] * 5, "plain"),
        (96, [2] * 4, [2] * 4, "plain"),
        (128, [2, 4, 4], [4, 4, 1], "plain"),
        (32, [4, 8, 8], [8, 1, 2], "residual"),
        (64, [2, 4, 8, 8], [2, 2, 2, 2], "residual"),
        (96, [4, 4, 8], [3, 4, 4], "residual"),
        (128, [2, 2, 4, 4, 8], [2] * 5, "residual"),
    ],
)
def test_shapes_and_finite_output(
    model_params: Make,
    activation: str,
    size: int,
    filters: list[int],
    strides: list[int],
    blocks: str,
) -> None:
    params = model_params(
        filters=filters,
        strides=strides,
        activation=activation,
        inter_dense=5,
        kernel=4,
        blocks=blocks,
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


def test_sample_z() -> None:
    mu, log_var = np.array([[1.0, 2.0]]), np.log(np.array([[4.0, 9.0]]))
    noise = np.array([[1.0, -1.0]])
    assert np.allclose(sample_z(mu, log_var, 0 * noise, 1.0), mu)
    assert np.allclose(sample_z(mu, log_var, noise, 1.0), [[3.0, -1.0]])
    assert np.allclose(sample_z(mu, log_var, noise, 0.5), [[2.0, 0.5]])


@settings(max_examples=50, deadline=None)
@given(POINTS, POINTS, POINTS)
def test_noise_factors_0_and_1_are_exact(
    mu: np.ndarray, log_var: np.ndarray, noise: np.ndarray
) -> None:
    usual = mu + ops.exp(0.5 * log_var) * noise
    assert np.array_equal(sample_z(mu, log_var, noise, 1.0), usual)
    # Where exp(log_var / 2) overflows too.
    log_var[0] = 1000.0
    assert np.array_equal(sample_z(mu, log_var, noise, 0.0), mu)


def test_the_noise_factor_reaches_a_function_that_was_compiled_before(
    model_params: Make, random_images: np.ndarray
) -> None:
    vae = VAE(model_params(), size=32, seed=1)
    pixels = random_images[:3] / np.float32(255)
    noise = np.ones((3, 6), np.float32)
    compiled = tf.function(vae)
    noisy = compiled(pixels, noise)[0]
    vae.noise_factor.assign(0)
    still = compiled(pixels, noise)[0]
    assert np.array_equal(still, compiled(pixels, 2 * noise)[0])
    assert not np.array_equal(still, noisy)
    vae.noise_factor.assign(1)
    assert np.array_equal(compiled(pixels, noise)[0], noisy)
    assert not any(weight is vae.noise_factor for weight in vae.trainable_weights)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (4, 6), elements=st.floats(-100, 100, width=32)))
def test_the_bound_of_log_var_is_smooth_and_never_passed(raw: np.ndarray) -> None:
    bound = 3.0
    params = load_params(ROOT / "params.yaml", [*TINY, f"model.log_var_bound={bound}"]).model
    layer = build_encoder(params, size=32, seed=1).get_layer("bounded_log_var")
    with tf.GradientTape() as tape:
        tensor = tf.constant(raw)
        tape.watch(tensor)
        bounded = layer(tensor)
    assert np.allclose(bounded, bound * np.tanh(raw / bound), atol=1e-5)
    assert np.abs(bounded).max() <= bound
    slope = np.asarray(tape.gradient(bounded, tensor))
    assert np.allclose(slope, 1 - np.tanh(raw.astype(np.float64) / bound) ** 2, atol=1e-5)
    small = np.abs(raw) < 0.01
    assert np.allclose(np.asarray(bounded)[small], raw[small], rtol=1e-4, atol=1e-9)


def test_the_plain_autoencoder_has_no_log_var(
    model_params: Make, random_images: np.ndarray
) -> None:
    vae = VAE(model_params(variational=False), size=32, seed=1)
    assert {"log_var"} == {
        layer.name for layer in VAE(model_params(), size=32, seed=1).encoder.layers
    } - {layer.name for layer in vae.encoder.layers}
    pixels = random_images[:3] / np.float32(255)
    logits, mu, log_var = vae(pixels, np.full((3, 6), np.nan, np.float32))
    assert log_var is None
    assert np.array_equal(mu, vae.encoder(pixels))
    assert np.array_equal(logits, vae.decoder(mu))
    # What both have starts the same.
    for weight, other in zip(
        vae.weights, VAE(model_params(), size=32, seed=1).encoder.weights, strict=False
    ):
        if "log_var" not in other.path and weight.path == other.path:
            assert np.array_equal(weight, other)


def test_residual_blocks_add_to_what_they_are_given(
    model_params: Make, random_images: np.ndarray
) -> None:
    params = model_params(blocks="residual", filters=[6, 8])
    vae = VAE(params, size=32, seed=1)
    pixels = random_images[:3] / np.float32(255)
    for part, entering in ((vae.encoder, pixels), (vae.decoder, vae.encoder(pixels)[0])):
        for level in (1, 2):
            widen = part.get_layer(f"block_{level}_widen")
            widen.kernel.assign(0 * widen.kernel)
        # With nothing added, the network is the plain one.
        plain = (build_encoder if part is vae.encoder else build_decoder)(
            model_params(filters=[6, 8]), size=32, seed=1
        )
        for layer in plain.layers:
            layer.set_weights(part.get_layer(layer.name).get_weights())
        assert np.allclose(part(entering), plain(entering), atol=1e-6)


@pytest.mark.parametrize("inter_dense", [None, 256])
def test_residual_blocks_cost_few_parameters(inter_dense: int | None) -> None:
    params = load_params(ROOT / "params.yaml").model
    counts = []
    for blocks in ("plain", "residual"):
        changed = params.model_copy(update={"blocks": blocks, "inter_dense": inter_dense})
        vae = VAE(changed, size=96, seed=1)
        counts.append((vae.encoder.count_params(), vae.decoder.count_params()))
    for plain, residual in zip(*counts, strict=True):
        assert residual - plain == 109_580
        assert residual < 1.04 * plain


def test_every_layer_is_named_by_us(model_params: Make) -> None:
    changes = {"blocks": "residual", "log_var_bound": 5.0, "inter_dense": 5}
    first, second = (VAE(model_params(**changes), size=32, seed=1) for _ in range(2))
    # Names of Keras' own making would count on.
    for part in ("encoder", "decoder"):
        names = [[layer.name for layer in getattr(vae, part).layers] for vae in (first, second)]
        assert names[0] == names[1]
