"""The VAE: Encoder, noise, Decoder; and its loss in nats per image."""

import math
from typing import Any

import keras
from keras import ops

from celeba_vae.model.decoder import build_decoder
from celeba_vae.model.encoder import build_encoder
from celeba_vae.params import ModelParams

Tensor = Any


class VAE(keras.Model):
    """Encoder and Decoder in one model, so that one file holds the weights of both.

    The noise is an input, not drawn here: the same noise gives the same loss on any backend,
    and a run can be resumed anywhere without a generator's state.
    """

    def __init__(self, params: ModelParams, *, size: int, seed: int) -> None:
        super().__init__(name="vae")
        # Two seeds, or Encoder and Decoder would draw from the same stream.
        self.encoder = build_encoder(params, size=size, seed=2 * seed)
        self.decoder = build_decoder(params, size=size, seed=2 * seed + 1)
        self.built = True

    def call(
        self, images: Tensor, noise: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, sample, decode.

        Args:
            images: (n, size, size, 3) in [0, 1].
            noise: (n, z_dim), from N(0, I); zeros give z = mu.
            training: whether batch normalisation uses, and learns from, the batch.

        Returns:
            logits (n, size, size, 3), mu (n, z_dim), log_var (n, z_dim).
        """
        mu, log_var = self.encoder(images, training=training)
        logits = self.decoder(sample_z(mu, log_var, noise), training=training)
        return logits, mu, log_var


def sample_z(mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """Return z = mu + exp(log_var / 2) * noise (Kingma and Welling 2014); all (n, z_dim)."""
    return mu + ops.exp(0.5 * log_var) * noise


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(q(z|x) || N(0, I)) of each image, in nats.

    0.5 * sum over the dimensions of mu^2 + exp(log_var) - 1 - log_var
    (Kingma and Welling 2014, appendix B). mu, log_var: (n, z_dim); result: (n,).
    """
    return 0.5 * ops.sum(ops.square(mu) + ops.exp(log_var) - 1.0 - log_var, axis=-1)


def bernoulli_loss(images: Tensor, logits: Tensor) -> Tensor:
    """Return the binary cross-entropy of each image, summed over pixels and channels, in nats.

    max(l, 0) - l * x + log(1 + exp(-|l|)), which does not overflow for large logits l.
    images in [0, 1] and logits: (n, size, size, 3); result: (n,).
    """
    softplus = ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.sum(ops.relu(logits) - logits * images + softplus, axis=(1, 2, 3))


def gaussian_loss(images: Tensor, logits: Tensor) -> Tensor:
    """Return -log N(x; sigmoid(logits), 1) of each image, less its constant, in nats.

    0.5 * squared error summed over pixels and channels; the constant left out is
    0.5 * log(2 pi) for each of them. Shapes as in `bernoulli_loss`.
    """
    return 0.5 * ops.sum(ops.square(images - ops.sigmoid(logits)), axis=(1, 2, 3))


RECONSTRUCTION_LOSSES = {"bernoulli": bernoulli_loss, "gaussian": gaussian_loss}


def losses(
    vae: VAE, images: Tensor, noise: Tensor, *, loss: str, kl_weight: float, training: bool
) -> dict[str, Tensor]:
    """Return the losses of a batch, each a scalar in nats per image (mean over the batch).

    Args:
        vae: the model.
        images: uint8 (n, size, size, 3).
        noise: (n, z_dim), from N(0, I).
        loss: the reconstruction loss, "bernoulli" or "gaussian".
        kl_weight: factor on the KL loss; 1 gives the negative ELBO (but for its constant).
        training: whether batch normalisation uses, and learns from, the batch.

    Returns:
        loss = reconstruction + kl_weight * kl; reconstruction; kl (without the factor).
    """
    pixels = ops.cast(images, "float32") / 255.0
    logits, mu, log_var = vae(pixels, noise, training=training)
    reconstruction = ops.mean(RECONSTRUCTION_LOSSES[loss](pixels, logits))
    kl = ops.mean(kl_divergence(mu, log_var))
    return {"loss": reconstruction + kl_weight * kl, "reconstruction": reconstruction, "kl": kl}


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
