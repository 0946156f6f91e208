"""The Encoder: from an image to mu and log_var of its z-point, or to mu alone."""

import keras
from keras import ops

from celeba_vae.model.layers import (
    Conv2D,
    Dense,
    activation,
    batch_norm,
    initializers,
    residual_block,
)
from celeba_vae.params import ModelParams


def build_encoder(params: ModelParams, *, size: int, seed: int) -> keras.Model:
    """Build the Encoder of the article.

    Args:
        params: the architecture.
        size: side of the square RGB images, in pixels.
        seed: seed of the initial weights.

    Returns:
        A model from images (n, size, size, 3) in [0, 1] to the pair mu, log_var, each (n, z_dim);
        of the plain autoencoder to mu alone.
    """
    initializer = initializers(seed)
    images = keras.Input((size, size, 3), name="images")
    x = images
    for level, (filters, stride) in enumerate(
        zip(params.filters, params.strides, strict=True), start=1
    ):
        x = Conv2D(
            filters,
            params.kernel,
            strides=stride,
            padding="same",
            kernel_initializer=next(initializer),
            name=f"conv_{level}",
        )(x)  # (n, side / stride, side / stride, filters)
        if params.batch_norm:
            x = batch_norm(params, name=f"norm_{level}")(x)
        x = activation(params.activation, name=f"activation_{level}")(x)
        if params.blocks == "residual":
            x = residual_block(x, params, initializer, name=f"block_{level}")
    x = keras.layers.Flatten(name="flatten")(x)  # (n, 9216) for 96 pixels and four levels
    if params.inter_dense is not None:
        # Two heads on the Flatten layer hold most of the Encoder's parameters; one smaller layer
        # before them replaces 2 * 9216 * z_dim of these by 9216 * d + 2 * d * z_dim.
        x = Dense(params.inter_dense, kernel_initializer=next(initializer), name="inter_dense")(x)
        x = activation(params.inter_activation, name="inter_activation")(x)
    mu = Dense(params.z_dim, kernel_initializer=next(initializer), name="mu")(x)
    if not params.variational:
        return keras.Model(images, mu, name="encoder")
    log_var = Dense(params.z_dim, kernel_initializer=next(initializer), name="log_var")(x)
    bound = params.log_var_bound
    if bound is not None:
        # Smooth, where clipping would leave a log_var beyond the bound without a gradient to
        # come back by; and near 0 it changes next to nothing.
        log_var = keras.layers.Lambda(
            lambda raw: bound * ops.tanh(raw / bound), name="bounded_log_var"
        )(log_var)
    return keras.Model(images, [mu, log_var], name="encoder")
