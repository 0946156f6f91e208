"""What Encoder and Decoder share: activations, batch normalisation, seeded initial weights."""

from collections.abc import Iterator

import keras
import numpy as np

from celeba_vae.params import ModelParams

# The slope of the author's LeakyReLU(): Keras' default.
LEAKY_SLOPE = 0.3


def activation(kind: str, *, name: str) -> keras.Layer:
    """Return the layer for an activation of params.yaml, called `name` in the model."""
    if kind == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=name)
    return keras.layers.Activation(kind, name=name)


def batch_norm(params: ModelParams, *, name: str) -> keras.Layer:
    """Return a batch normalisation layer with the parameters' momentum."""
    return keras.layers.BatchNormalization(momentum=params.batch_norm_momentum, name=name)


def initializers(seed: int) -> Iterator[keras.Initializer]:
    """Yield Glorot-uniform initializers (Keras' default), each with a seed of its own."""
    sequence = np.random.SeedSequence(seed)
    while True:
        (child,) = sequence.spawn(1)
        yield keras.initializers.GlorotUniform(seed=int(child.generate_state(1)[0]))
