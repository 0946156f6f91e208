"""The VAE: Encoder, sampling with noise, Decoder; without noise the plain autoencoder."""

import math
from typing import Any

import keras
from keras import ops

from celeba_vae.model.decoder import build_decoder
from celeba_vae.model.encoder import build_encoder
from celeba_vae.model.layers import computing_in
from celeba_vae.params import ModelParams
from celeba_vae.runtime.arrays import Tensor

# Where `learned` sigma starts: near the deviation of pixels from the mean face. Adam moves its
# logarithm by about one learning rate a step, so from 1 a short run would never arrive.
FIRST_SIGMA = 0.25


class VAE(keras.Model):
    """Encoder and Decoder in one model, so that one file holds the weights of both.

    The noise is an input, not drawn here: the same noise gives the same loss on any backend,
    and a run can be resumed anywhere without a generator's state.

    Encoder and Decoder may compute in bfloat16; what they give out is float32 here, and so are
    all weights, the z-points and whatever is computed from them.

    Attributes:
        encoder: from images to mu and log_var, or to mu alone.
        decoder: from z-points to logits.
        variational: whether it is a VAE; the plain autoencoder has neither log_var nor noise.
        noise_factor: factor on the noise in z, a weight that no training changes; None in the
            plain autoencoder. As a weight it can be set in a compiled model, and is saved.
        log_sigma: the logarithm of the learned deviation of the pixels, a trained weight; or None.
    """

    def __init__(
        self,
        params: ModelParams,
        *,
        size: int,
        seed: int,
        learned_sigma: bool = False,
        precision: str = "float32",
    ) -> None:
        super().__init__(name="vae", dtype="float32" if precision == "bfloat16" else precision)
        with computing_in(precision):
            # Two seeds, or Encoder and Decoder would draw from the same stream.
            self.encoder = build_encoder(params, size=size, seed=2 * seed)
            self.decoder = build_decoder(params, size=size, seed=2 * seed + 1)
        self.variational = params.variational
        self.noise_factor: Any = (
            self.add_weight(name="noise_factor", shape=(), initializer="ones", trainable=False)
            if self.variational
            else None
        )
        first = keras.initializers.Constant(math.log(FIRST_SIGMA))
        self.log_sigma: Any = (
            self.add_weight(name="log_sigma", shape=(), initializer=first)
            if learned_sigma
            else None
        )
        self.built = True

    def call(
        self, images: Tensor, noise: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encode, sample, decode.

        Args:
            images: (n, size, size, 3) in [0, 1].
            noise: (n, z_dim), from N(0, I); zeros give z = mu. The plain autoencoder ignores it.
            training: whether batch normalisation uses, and learns from, the batch.

        Returns:
            logits (n, size, size, 3), mu (n, z_dim), log_var (n, z_dim) or None.
        """
        mu, log_var = self.encode(images, training=training)
        logits = self.decode(self.sample(mu, log_var, noise), training=training)
        return logits, mu, log_var

    def encode(self, images: Tensor, training: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return mu and log_var of images, (n, z_dim) each; of a plain autoencoder mu and None."""
        if not self.variational:
            return self._exact(self.encoder(images, training=training)), None
        mu, log_var = self.encoder(images, training=training)
        return self._exact(mu), self._exact(log_var)

    def decode(self, z: Tensor, training: bool = False) -> Tensor:
        """Return the logits (n, size, size, 3) of z-points (n, z_dim)."""
        return self._exact(self.decoder(z, training=training))

    def sample(self, mu: Tensor, log_var: Tensor | None, noise: Tensor) -> Tensor:
        """Return z-points (n, z_dim), see `sample_z`; of a plain autoencoder mu itself."""
        if log_var is None:
            return mu
        return sample_z(mu, log_var, noise, self.noise_factor)

    def _exact(self, computed: Tensor) -> Tensor:
        return ops.cast(computed, self.variable_dtype)


def sample_z(mu: Tensor, log_var: Tensor, noise: Tensor, factor: Tensor) -> Tensor:
    """Return z = mu + factor * exp(log_var / 2) * noise (Kingma and Welling 2014).

    mu, log_var, noise: (n, z_dim); factor: a scalar, 1 for a sample of q(z|x), 0 for mu itself.
    """
    # Not 0 times the deviation, which may have overflowed: that would not be a number.
    return ops.where(ops.equal(factor, 0), mu, mu + factor * ops.exp(0.5 * log_var) * noise)


def describe_layers(part: keras.Model) -> dict[str, Any]:
    """Return the parameter counts of Encoder or Decoder.

    Returns:
        "parameters" and "trainable": numbers of weights in all; "layers": name, output shape
        without the batch, and number of weights of each layer.
    """
    return {
        "parameters": part.count_params(),
        "trainable": sum(math.prod(weight.shape) for weight in part.trainable_weights),
        "layers": [
            {
                "name": layer.name,
                "output": list(layer.output.shape[1:]),
                "parameters": layer.count_params(),
            }
            for layer in part.layers
        ],
    }
