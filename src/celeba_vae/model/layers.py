"""Layers of Encoder and Decoder: convolutions, batch norm, residual block, initial weights.

Four layers of Keras compute the same here in less time on a processor (`python -m
tests.benchmarks.step`), or in the same order on each; they have Keras' names, by which files of
weights know them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from celeba_vae.model.sizes import NARROWING
from celeba_vae.params import ModelParams
from celeba_vae.runtime.arrays import Tensor

# The slope of the author's LeakyReLU(): Keras' default.
LEAKY_SLOPE = 0.3

# A product of longer rows, with fewer results for each than these, is cut by the libraries at
# places that follow the processor's caches.
_LONG = 256
_FEW = 256


def add_bias(maps: Tensor, bias: Tensor) -> Tensor:
    """Return maps (n, height, width, channels) plus bias (channels,).

    The gradient of the bias is `sum_by_channel`. TensorFlow would let the convolution's kernel
    gradient add it up on the way, which takes up to three times as long as the two apart, or with
    few channels add one value after another.
    """
    # A tensor: a custom gradient of TensorFlow takes no variable.
    return _biased(maps, ops.reshape(bias, (-1,)))


@ops.custom_gradient
def _biased(maps: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
    def gradient(*given: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # Keras' protocol: TensorFlow and JAX give it by place.
        (of_sum,) = given or (upstream,)
        return of_sum, sum_by_channel(of_sum)

    return ops.add(maps, bias), gradient


def sum_by_channel(maps: Tensor) -> Tensor:
    """Return the sum (channels,) of maps (n, height, width, channels), as products with ones.

    First over images, then over rows: a product that is long inside and has few results is split
    inside among threads, at places that follow the processor's caches.
    """
    _, height, width, channels = maps.shape
    of_images = _sum_of_rows(ops.reshape(maps, (-1, height * width * channels)))
    of_rows = _sum_of_rows(ops.reshape(of_images, (height, width * channels)))
    return ops.sum(ops.reshape(of_rows, (width, channels)), axis=0)


def _sum_of_rows(matrix: Tensor) -> Tensor:
    return ops.matmul(ops.ones((1, ops.shape(matrix)[0]), matrix.dtype), matrix)


def narrow_product(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return rows (n, k) times matrix (k, m), added up in one order on every processor.

    That of its gradient for `rows`, a product of rows of m, is fixed likewise.
    """

    @ops.custom_gradient
    def product(rows: Tensor, matrix: Tensor) -> tuple[Tensor, Any]:
        def gradient(*given: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
            (of_product,) = given or (upstream,)
            of_rows = _sum_of_blocks(of_product, ops.transpose(matrix))
            return of_rows, ops.matmul(ops.transpose(rows), of_product)

        return _sum_of_blocks(rows, matrix), gradient

    # A tensor: see add_bias.
    return product(rows, ops.reshape(matrix, matrix.shape))


def _sum_of_blocks(rows: Tensor, matrix: Tensor) -> Tensor:
    length, results = matrix.shape
    if length <= _LONG or results >= _FEW:
        return ops.matmul(rows, matrix)
    missing = -length % _LONG
    rows = ops.pad(rows, [(0, 0), (0, missing)])
    matrix = ops.pad(matrix, [(0, missing), (0, 0)])
    blocks = ops.transpose(ops.reshape(rows, (-1, rows.shape[1] // _LONG, _LONG)), (1, 0, 2))
    return ops.sum(ops.matmul(blocks, ops.reshape(matrix, (-1, _LONG, results))), axis=0)


class Dense(keras.layers.Dense):
    """Keras' dense layer; one with few units or inputs adds up in one order everywhere."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Return the results (n, units)."""
        shape = self.kernel.shape
        if max(shape) <= _LONG or min(shape) >= _FEW:
            return super().call(inputs, training=training)
        return ops.add(narrow_product(inputs, self.kernel), self.bias)


class Conv2D(keras.layers.Conv2D):
    """Keras' convolution with `add_bias`."""

    def call(self, inputs: Tensor) -> Tensor:
        """Return the maps (n, height / stride, width / stride, filters)."""
        return add_bias(self.convolution_op(inputs, self.kernel), self.bias)


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras' transposed convolution with `add_bias`."""

    def call(self, inputs: Tensor) -> Tensor:
        """Return the maps (n, height * stride, width * stride, filters)."""
        maps = ops.conv_transpose(
            inputs, self.kernel, strides=list(self.strides), padding=self.padding
        )
        return add_bias(maps, self.bias)


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation, on TensorFlow with operations of our own on a processor."""

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        """Return the normalised inputs, of their shape; in training the averages move."""
        if keras.backend.backend() != "tensorflow" or self.compute_dtype == "float64":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        from celeba_vae.model.tensorflow_kernels import batch_normalized, normalized

        if tf.config.list_logical_devices("GPU"):  # whose kernel of the gradient takes other values
            return super().call(inputs, training=training, mask=mask)
        if not (training and self.trainable):
            outputs = normalized(
                ops.cast(inputs, "float32"),
                self.gamma,
                self.beta,
                mean=self.moving_mean,
                variance=self.moving_variance,
                epsilon=self.epsilon,
            )
            return ops.cast(outputs, self.compute_dtype)
        # Sums are float32 also where the layers compute in bfloat16, as in Keras' layer.
        outputs, mean, variance = batch_normalized(
            ops.cast(inputs, "float32"), self.gamma, self.beta, epsilon=self.epsilon
        )
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Let the layers that are made in the block compute in "float32", "bfloat16" or "float64".

    With bfloat16 their weights are float32 all the same, and the sums of batch normalisation too.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def activation(kind: str, *, name: str) -> keras.Layer:
    """Return the layer for an activation of params.yaml, called `name` in the model."""
    if kind == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=name)
    return keras.layers.Activation(kind, name=name)


def batch_norm(params: ModelParams, *, name: str) -> keras.Layer:
    """Return a batch normalisation layer with the parameters' momentum."""
    return BatchNormalization(momentum=params.batch_norm_momentum, name=name)


def residual_block(
    x: Tensor, params: ModelParams, initializer: Iterator[keras.Initializer], *, name: str
) -> Tensor:
    """Return x + f(x), of the same shape (n, side, side, maps) as x.

    f is a convolution with the parameters' kernel to an eighth of the maps, normalisation,
    activation, and a 1x1 convolution back. What it adds gets neither of the two, so that x passes
    unchanged (He et al. 2016, Identity Mappings in Deep Residual Networks).
    """
    maps = x.shape[-1]
    y = Conv2D(
        max(1, maps // NARROWING),
        params.kernel,
        padding="same",
        kernel_initializer=next(initializer),
        name=f"{name}_conv",
    )(x)  # (n, side, side, maps / 8)
    if params.batch_norm:
        y = batch_norm(params, name=f"{name}_norm")(y)
    y = activation(params.activation, name=f"{name}_activation")(y)
    y = Conv2D(maps, 1, kernel_initializer=next(initializer), name=f"{name}_widen")(y)
    return keras.layers.Add(name=f"{name}_add")([x, y])


def initializers(seed: int) -> Iterator[keras.Initializer]:
    """Yield Glorot-uniform initializers (Keras' default), each with a seed of its own."""
    sequence = np.random.SeedSequence(seed)
    while True:
        (child,) = sequence.spawn(1)
        yield keras.initializers.GlorotUniform(seed=int(child.generate_state(1)[0]))
