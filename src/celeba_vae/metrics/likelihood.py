"""Bounds on the log-likelihood of 8-bit images: ELBO and importance-weighted bound, in nats."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp

from celeba_vae.latent.statistics import kl_terms
from celeba_vae.model.losses import SMALLEST_VARIANCE
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.runtime.arrays import Floats, Pixels, Points
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split

# Images, or z-points of an image, at once: their means in 32 and masses in 64 bits take memory.
_BLOCK = 128


def log_bin_mass(images: Pixels, means: Points, sigma: float) -> Floats:
    """Return the logarithm of the probability of each 8-bit value, in nats.

    A normal density of pixels in [0, 1] with standard deviation sigma, integrated over the bin of
    the value v: from (v - 1/2) / 255 to (v + 1/2) / 255, the bin of 0 from minus infinity and that
    of 255 to infinity. So the 256 probabilities of a pixel have the sum 1, and their logarithms
    are those of a true discrete distribution (Salimans et al. 2017, section 2.1, with a normal in
    place of the logistic distribution).

    Args:
        images: values v, any shape.
        means: means of the density, of a shape that fits.
        sigma: its standard deviation, in pixels of [0, 1].
    """
    values = images.astype(np.float64)
    lower = np.where(images == 0, -np.inf, ((values - 0.5) / 255 - means) / sigma)
    upper = np.where(images == 255, np.inf, ((values + 0.5) / 255 - means) / sigma)
    # log_ndtr is exact far out on the negative side only, so a bin right of the mean is mirrored.
    mirrored = lower > 0
    lower, upper = np.where(mirrored, -upper, lower), np.where(mirrored, -lower, upper)
    above = log_ndtr(upper)
    mass: Floats = above + np.log(-np.expm1(log_ndtr(lower) - above))
    return mass


def log_weights(log_likelihood: Floats, mu: Floats, log_var: Floats, noise: Floats) -> Floats:
    """Return log p(x|z) + log p(z) - log q(z|x) of z = mu + exp(log_var / 2) * noise, in nats.

    The mean of the weights over z from q is p(x); the constants of the two normal densities p(z)
    and q(z|x) cancel.

    Args:
        log_likelihood: log p(x|z), (K,).
        mu: of the image, (z_dim,).
        log_var: of the image, (z_dim,).
        noise: from N(0, I), (K, z_dim).

    Returns:
        (K,).
    """
    z = mu + np.exp(log_var / 2) * noise
    log_ratio: Floats = 0.5 * (noise**2 - z**2 + log_var).sum(axis=1)
    return log_likelihood + log_ratio


def importance_bounds(weights: Floats) -> dict[int, float]:
    """Return the importance-weighted bounds on log p(x) by the number of samples, in nats.

    L_k = E log(1/k sum of k weights) (Burda, Grosse and Salakhutdinov 2016, equation 8), averaged
    over the images and over all groups of k neighbouring samples. L_1 is the ELBO; L_k rises
    with k, towards log p(x). Each group is two of the smaller ones, and the logarithm is concave:
    so the bounds rise for every noise, not only in expectation.

    Args:
        weights: `log_weights` of each image, (n, K), with K a power of 2.

    Returns:
        L_k for k = 1, 2, 4, ..., K.
    """
    images, samples = weights.shape
    if samples & (samples - 1):
        raise ValueError(f"{samples} samples are not a power of 2")
    bounds = {}
    for k in (2**power for power in range(samples.bit_length())):
        groups = weights.reshape(images, samples // k, k)
        bounds[k] = float((logsumexp(groups, axis=2) - math.log(k)).mean())
    return bounds


def fit_sigma(model: Pretrained, images: Split, rows: NDArray[np.int64], *, seed: int) -> float:
    """Return the standard deviation that makes images most likely, in pixels of [0, 1].

    The square root of the mean squared error of the Decoder's means at sampled z-points, which
    maximises the ELBO of the normal density (Rybkin, Daniilidis and Levine 2021, section 3.2); at
    least that of rounding to 8 bits.

    Args:
        model: a variational model.
        images: the training images.
        rows: which of them.
        seed: seed of the noise in z.
    """
    noise = _generator(seed, 0)
    total = 0.0
    with progress_bar(len(rows), label="sigma", unit="images") as bar:
        for _, block in images.blocks(rows, size=_BLOCK):
            mu, log_var = model.encode(block)
            drawn = noise.standard_normal(mu.shape, dtype=np.float32)
            means = model.decode_mean(model.sample_z(mu, log_var, drawn, factor=1))
            total += float(np.square(block / 255 - means).mean(axis=(1, 2, 3)).sum())
            bar.update(len(block))
    return math.sqrt(max(total / len(rows), SMALLEST_VARIANCE))


def likelihood_bounds(
    model: Pretrained,
    images: Pixels,
    *,
    samples: int,
    sigma: float,
    seed: int,
) -> tuple[float, dict[int, float]]:
    """Return bounds on the mean log-likelihood of 8-bit images, in nats per image.

    z is drawn from q(z|x) whatever noise factor the model has, as in `fit_sigma`.

    Args:
        model: a variational model.
        images: (n, size, size, 3).
        samples: z-points drawn for each image, K; a power of 2.
        sigma: standard deviation of the pixels about the Decoder's means, see `log_bin_mass`.
        seed: seed of the noise in z.

    Returns:
        The ELBO, E log p(x|z) - KL(q(z|x) || N(0, I)), with the expectation over the K z-points
        and the KL in closed form; and `importance_bounds`.
    """
    mu, log_var = model.encode(images)
    if log_var is None:
        raise ValueError("a plain autoencoder has no likelihood")
    mu, log_var = mu.astype(np.float64), log_var.astype(np.float64)
    std = np.exp(log_var / 2)
    noise = _generator(seed, 1)
    log_likelihoods = np.empty((len(images), samples))
    weights = np.empty_like(log_likelihoods)
    with progress_bar(len(images), label="likelihood", unit="images") as bar:
        for i, image in enumerate(images):
            drawn = noise.standard_normal((samples, model.z_dim))
            for start in range(0, samples, _BLOCK):
                block = slice(start, start + _BLOCK)
                means = model.decode_mean(mu[i] + std[i] * drawn[block])
                mass = log_bin_mass(image, means, sigma)
                log_likelihoods[i, block] = mass.sum(axis=(1, 2, 3))
            weights[i] = log_weights(log_likelihoods[i], mu[i], log_var[i], drawn)
            bar.update()
    kl = kl_terms(mu, log_var).sum(axis=1)
    elbo = float((log_likelihoods.mean(axis=1) - kl).mean())
    return elbo, importance_bounds(weights)


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, stream))))
