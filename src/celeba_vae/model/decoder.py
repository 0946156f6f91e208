"""The Decoder: from a z-point to the logits of an image."""

import math

import keras

from celeba_vae.model.layers import (
    Conv2DTranspose,
    Dense,
    activation,
    batch_norm,
    initializers,
    residual_block,
)
from celeba_vae.params import ModelParams


def build_decoder(params: ModelParams, *, size: int, seed: int) -> keras.Model:
    """Build the Decoder of the article, which mirrors the Encoder.

    Args:
        params: the architecture.
        size: side of the square RGB images, in pixels; divisible by the product of the strides.
        seed: seed of the initial weights.

    Returns:
        A model from z-points (n, z_dim) to logits (n, size, size, 3); their sigmoid is the image
        in [0, 1].
    """
    initializer = initializers(seed)
    inner = size // math.prod(params.strides)
    z = keras.Input((params.z_dim,), name="z")
    x = Dense(
        inner * inner * params.filters[-1], kernel_initializer=next(initializer), name="dense"
    )(z)
    x = keras.layers.Reshape((inner, inner, params.filters[-1]), name="innermost_map")(x)
    outwards = list(zip([3, *params.filters[:-1]], params.strides, strict=True))[::-1]
    for level, (filters, stride) in enumerate(outwards, start=1):
        if params.blocks == "residual":
            x = residual_block(x, params, initializer, name=f"block_{level}")
        x = Conv2DTranspose(
            filters,
            params.kernel,
            strides=stride,
            padding="same",
            kernel_initializer=next(initializer),
            name=f"conv_{level}",
        )(x)  # (n, side * stride, side * stride, filters)
        if level < len(outwards):
            if params.batch_norm:
                x = batch_norm(params, name=f"norm_{level}")(x)
            x = activation(params.activation, name=f"activation_{level}")(x)
    return keras.Model(z, x, name="decoder")
