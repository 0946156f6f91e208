"""The layers that are faster than Keras' own compute the same."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.model import layers

SHAPES = st.tuples(*(st.integers(1, high) for high in (4, 9, 9, 5)))
MAKERS = {
    "Conv2D": lambda of: of.Conv2D(3, 3, strides=2, padding="same"),
    "Conv2DTranspose": lambda of: of.Conv2DTranspose(4, 3, strides=2, padding="same"),
    "BatchNormalization": lambda of: of.BatchNormalization(momentum=0.9),
}


def run(layer: keras.Layer, inputs: tf.Tensor, *, training: bool) -> list[np.ndarray]:
    """Return the outputs, the gradients of their weighted sum, and the weights after that."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        options = {"training": training} if hasattr(layer, "momentum") else {}
        outputs = layer(inputs, **options)
        weighted = tf.cast(tf.range(tf.size(outputs)) % 7, outputs.dtype)
        total = tf.reduce_sum(tf.reshape(outputs, (-1,)) * weighted)
    gradients = tape.gradient(total, [inputs, *layer.trainable_variables])
    return [np.array(value) for value in (outputs, *gradients, *layer.weights)]


def pair(name: str, inputs: tf.Tensor, dtype: Any = "float32") -> tuple[keras.Layer, keras.Layer]:
    """Return the layer and Keras' own, with the same random weights."""
    made = []
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        made = [MAKERS[name](of) for of in (layers, keras.layers)]
    finally:
        keras.config.set_dtype_policy(before)
    random = np.random.default_rng(1)
    for layer in made:
        layer.build(inputs.shape)
    for ours, theirs in zip(made[0].weights, made[1].weights, strict=True):
        value = random.uniform(0.5, 1.5, ours.shape)
        ours.assign(value)
        theirs.assign(value)
    return made[0], made[1]


def images(shape: tuple[int, ...], dtype: str = "float32") -> tf.Tensor:
    return tf.constant(np.random.default_rng(2).normal(0.5, 2.0, shape), dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES)
def test_a_layer_is_that_of_keras(
    name: str, training: bool, shape: tuple[int, int, int, int]
) -> None:
    if name == "BatchNormalization" and np.prod(shape[:3]) < 8:
        # The variance of next to no values is rounding, and so is what is divided by its root.
        return
    inputs = images(shape)
    ours, theirs = pair(name, inputs)
    found, expected = (run(each, inputs, training=training) for each in (ours, theirs))
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-4 * max(1, np.abs(other).max()))


@pytest.mark.parametrize("name", MAKERS)
def test_in_float64_to_the_last_digits(name: str) -> None:
    inputs = images((4, 8, 8, 3), "float64")
    ours, theirs = pair(name, inputs, "float64")
    found, expected = (run(each, inputs, training=True) for each in (ours, theirs))
    for value, other in zip(found, expected, strict=True):
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, other, rtol=1e-10, atol=1e-10)


@pytest.mark.native
@pytest.mark.parametrize("name", MAKERS)
def test_in_bfloat16_as_near_as_keras(name: str) -> None:
    inputs = images((4, 8, 8, 3))
    exact = run(pair(name, inputs)[1], inputs, training=True)
    ours, theirs = pair(name, inputs, "mixed_bfloat16")
    for value, other, true in zip(
        run(ours, inputs, training=True), run(theirs, inputs, training=True), exact, strict=True
    ):
        assert value.dtype == other.dtype
        size = np.abs(true).max()
        error = np.abs(value.astype(np.float32) - true).max()
        assert error <= 1.5 * np.abs(other.astype(np.float32) - true).max() + 1e-2 * size


def test_a_constant_channel_stays_finite() -> None:
    inputs = tf.ones((2, 4, 4, 3))
    ours, theirs = pair("BatchNormalization", inputs)
    for value, other in zip(
        run(ours, inputs, training=True), run(theirs, inputs, training=True), strict=True
    ):
        np.testing.assert_allclose(value, other, atol=1e-2)


def test_a_frozen_batch_norm_uses_its_averages() -> None:
    inputs = images((4, 8, 8, 3))
    found = []
    for layer in pair("BatchNormalization", inputs):
        layer.trainable = False
        found.append(run(layer, inputs, training=True))
    for value, other in zip(*found, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-5)


def test_files_of_weights_are_those_of_keras_layers(tmp_path: Any) -> None:
    inputs = images((2, 8, 8, 3))
    for name in MAKERS:
        ours, theirs = pair(name, inputs)
        source, target = keras.Sequential([theirs]), keras.Sequential([ours])
        for model in (source, target):
            model.build((None, 8, 8, 3))
        for weight in source.weights:
            weight.assign(np.full(weight.shape, 0.25))
        source.save_weights(tmp_path / "model.weights.h5")
        target.load_weights(tmp_path / "model.weights.h5")
        assert all(np.all(np.array(weight) == 0.25) for weight in target.weights)


@given(
    length=st.sampled_from([3, 256, 257, 700, 1024]),
    units=st.sampled_from([1, 5, 255, 256, 600]),
    images=st.integers(1, 9),
)
@settings(max_examples=25, deadline=None)
def test_a_dense_layer_is_that_of_keras(length: int, units: int, images: int) -> None:
    random = np.random.default_rng(0)
    inputs = tf.constant(random.standard_normal((images, length)), tf.float32)
    layer, exact = layers.Dense(units), keras.layers.Dense(units, dtype="float64")
    for each in (layer, exact):
        each.build(inputs.shape)
    values = [random.standard_normal(weight.shape) for weight in exact.weights]
    for each in (layer, exact):
        for weight, value in zip(each.weights, values, strict=True):
            weight.assign(value)
    found = run(layer, inputs, training=True)
    expected = run(exact, tf.cast(inputs, tf.float64), training=True)
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
