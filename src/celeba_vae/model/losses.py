"""The losses of a VAE in nats per image: reconstruction (Bernoulli or Gaussian) and KL."""

import math
from typing import Literal

from keras import ops

from celeba_vae.model.vae import VAE
from celeba_vae.runtime.arrays import Tensor

Sigma = float | Literal["learned", "optimal"] | None

# The variance of rounding to 8 bits, in pixels of [0, 1]. No Decoder comes closer to a stored
# image for a reason, and without it an exact reconstruction would have an infinite density.
SMALLEST_VARIANCE = 1 / (12 * 255**2)


def vae_losses(
    vae: VAE,
    images: Tensor,
    noise: Tensor,
    *,
    loss: str,
    sigma: Sigma,
    kl_weight: Tensor,
    free_bits: float,
    training: bool,
) -> dict[str, Tensor]:
    """Return the losses of a batch in nats per image (mean over the batch), and mu.

    Args:
        vae: the model.
        images: uint8 (n, size, size, 3).
        noise: (n, z_dim), from N(0, I).
        loss: the reconstruction loss, "bernoulli" or "gaussian".
        sigma: with "gaussian" its deviation in pixels of [0, 1]: a number; "learned", which
            `vae.log_sigma` holds; or "optimal", see `optimal_variance`. None with "bernoulli".
        kl_weight: factor on the KL loss, a number or a scalar tensor; 1 gives the negative ELBO.
        free_bits: see `floored_kl`; 0 floors nothing.
        training: whether batch normalisation uses, and learns from, the batch.

    Returns:
        Scalars: loss = reconstruction + kl_weighted; reconstruction; kl, neither floored nor
        weighted; kl_weighted = kl_weight * floored kl. Of a variational model also
        kl_per_dimension (z_dim,), the mean over the batch. The plain autoencoder has no KL: both
        scalars are 0, for nothing is added to its loss.
    """
    pixels = ops.cast(images, vae.variable_dtype) / 255.0
    logits, mu, log_var = vae(pixels, noise, training=training)
    if loss == "bernoulli":
        reconstruction = ops.mean(bernoulli_loss(pixels, logits))
    else:
        squared_error = ops.square(pixels - ops.sigmoid(logits))
        variance = _variance(vae, squared_error, sigma)
        reconstruction = ops.mean(gaussian_loss(squared_error, variance))
    if log_var is None:
        nothing = ops.zeros_like(reconstruction)
        kl, kl_weighted, by_dimension = nothing, nothing, {}
    else:
        kl_per_dimension = ops.mean(kl_divergence(mu, log_var), axis=0)
        kl = ops.sum(kl_per_dimension)
        kl_weighted = kl_weight * floored_kl(kl_per_dimension, free_bits)
        by_dimension = {"kl_per_dimension": kl_per_dimension}
    return {
        "loss": reconstruction + kl_weighted,
        "reconstruction": reconstruction,
        "kl": kl,
        "kl_weighted": kl_weighted,
        **by_dimension,
    }


def bernoulli_loss(images: Tensor, logits: Tensor) -> Tensor:
    """Return the binary cross-entropy of each image, summed over pixels and channels, in nats.

    softplus(l) - l * x, with softplus(l) = log(1 + exp(l)), which does not overflow for large
    logits l. images in [0, 1] and logits: (n, size, size, 3); result: (n,).
    """
    return ops.sum(ops.softplus(logits) - logits * images, axis=(1, 2, 3))


def gaussian_loss(squared_error: Tensor, variance: Tensor) -> Tensor:
    """Return -log N(x; sigmoid(logits), variance * I) of each image, in nats.

    0.5 * (squared error / variance + log(2 pi variance)), summed over pixels and channels. It is
    that of a density of pixels in [0, 1], which is negative where the variance is small.
    squared_error: (n, size, size, 3); variance: a scalar; result: (n,).
    """
    values = math.prod(squared_error.shape[1:])
    distance = ops.sum(squared_error, axis=(1, 2, 3)) / variance
    return 0.5 * (distance + values * ops.log(2.0 * math.pi * variance))


def optimal_variance(squared_error: Tensor) -> Tensor:
    """Return the variance that makes a batch most likely: its mean squared error, a scalar.

    sigma-VAE (Rybkin, Daniilidis and Levine 2021, section 3.2), at least SMALLEST_VARIANCE. It is
    a constant for the gradient: at the optimum the loss does not change with the variance.
    """
    return ops.stop_gradient(ops.maximum(ops.mean(squared_error), SMALLEST_VARIANCE))


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(q(z|x) || N(0, I)) of each image and dimension, in nats.

    0.5 * (mu^2 + exp(log_var) - 1 - log_var) (Kingma and Welling 2014, appendix B); all of shape
    (n, z_dim). The KL loss of an image is the sum over its dimensions.
    """
    return 0.5 * (ops.square(mu) + ops.exp(log_var) - 1.0 - log_var)


def floored_kl(kl_per_dimension: Tensor, free_bits: float) -> Tensor:
    """Return the sum over the dimensions of max(free_bits, KL), in nats per image.

    Free bits (Kingma et al. 2016, appendix C.8): a dimension below the floor has no gradient, so
    that nothing is gained by giving it up. kl_per_dimension: the mean over the batch, (z_dim,);
    free_bits: nats in a dimension, 0 for no floor.
    """
    if free_bits > 0:
        kl_per_dimension = ops.maximum(kl_per_dimension, free_bits)
    return ops.sum(kl_per_dimension)


def _variance(vae: VAE, squared_error: Tensor, sigma: Sigma) -> Tensor:
    if sigma is None:
        raise ValueError("the gaussian loss needs a sigma")
    if sigma == "optimal":
        return optimal_variance(squared_error)
    if sigma == "learned":
        return ops.exp(2.0 * vae.log_sigma)
    return ops.convert_to_tensor(sigma**2, dtype=squared_error.dtype)
