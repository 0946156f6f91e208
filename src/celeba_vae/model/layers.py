"""What Encoder and Decoder share: activation, normalisation, residual block, initial weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from celeba_vae.params import ModelParams

Tensor = Any

# The slope of the author's LeakyReLU(): Keras' default.
LEAKY_SLOPE = 0.3

# The inner convolution of a residual block has an eighth of its maps. With the default filters
# the blocks are 2 % of the Encoder's parameters and 4 % of the Decoder's, and a step takes 1.5
# times as long; with a quarter 4 %, 8 % and 1.6 times.
NARROWING = 8


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
    return keras.layers.BatchNormalization(momentum=params.batch_norm_momentum, name=name)


def residual_block(
    x: Tensor, params: ModelParams, initializer: Iterator[keras.Initializer], *, name: str
) -> Tensor:
    """Return x + f(x), of the same shape (n, side, side, maps) as x.

    f is a convolution with the parameters' kernel to an eighth of the maps, normalisation,
    activation, and a 1x1 convolution back. What it adds gets neither of the two, so that x passes
    unchanged (He et al. 2016, Identity Mappings in Deep Residual Networks).
    """
    maps = x.shape[-1]
    y = keras.layers.Conv2D(
        max(1, maps // NARROWING),
        params.kernel,
        padding="same",
        kernel_initializer=next(initializer),
        name=f"{name}_conv",
    )(x)  # (n, side, side, maps / 8)
    if params.batch_norm:
        y = batch_norm(params, name=f"{name}_norm")(y)
    y = activation(params.activation, name=f"{name}_activation")(y)
    y = keras.layers.Conv2D(maps, 1, kernel_initializer=next(initializer), name=f"{name}_widen")(y)
    return keras.layers.Add(name=f"{name}_add")([x, y])


def initializers(seed: int) -> Iterator[keras.Initializer]:
    """Yield Glorot-uniform initializers (Keras' default), each with a seed of its own."""
    sequence = np.random.SeedSequence(seed)
    while True:
        (child,) = sequence.spawn(1)
        yield keras.initializers.GlorotUniform(seed=int(child.generate_state(1)[0]))
