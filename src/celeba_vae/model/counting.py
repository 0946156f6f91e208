"""Bytes of weights, gradients, optimizer slots and activations, counted from the shapes."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import ml_dtypes  # noqa: F401  (with it NumPy knows bfloat16)
import numpy as np

from celeba_vae.model.vae import VAE

# These give their input another shape and no new memory.
_VIEWS = (keras.layers.Flatten, keras.layers.Reshape)


@dataclass(frozen=True)
class Counted:
    """What a model needs, counted from its shapes.

    Attributes:
        encoder_parameters: weights of the Encoder, as numbers.
        decoder_parameters: weights of the Decoder, as numbers.
        weights: bytes of all weights.
        gradients: bytes of the gradients of the trained ones.
        slots: bytes that the optimizer keeps, such as Adam's two moments of each trained weight.
        activations: bytes of the outputs of all layers for one image, which the gradients need.
    """

    encoder_parameters: int
    decoder_parameters: int
    weights: int
    gradients: int
    slots: int
    activations: int

    def step(self, images: int) -> int:
        """Return the bytes that a training step of so many images at once holds."""
        return self.weights + self.gradients + self.slots + images * self.activations


def count_bytes(vae: VAE, optimizer: Any) -> Counted:
    """Count what a model and its optimizer need.

    Args:
        vae: the model.
        optimizer: Keras' optimizer, built for the model's trainable variables.
    """
    layers = [*vae.encoder.layers, *vae.decoder.layers]
    return Counted(
        encoder_parameters=vae.encoder.count_params(),
        decoder_parameters=vae.decoder.count_params(),
        weights=_bytes(vae.weights),
        gradients=_bytes(vae.trainable_variables),
        slots=_bytes(optimizer.variables),
        activations=sum(
            math.prod(layer.output.shape[1:]) * _itemsize(layer.compute_dtype)
            for layer in layers
            if not isinstance(layer, _VIEWS)
        ),
    )


def _bytes(variables: list[Any]) -> int:
    return sum(math.prod(each.shape) * _itemsize(each.dtype) for each in variables)


def _itemsize(dtype: str) -> int:
    return np.dtype(dtype).itemsize
