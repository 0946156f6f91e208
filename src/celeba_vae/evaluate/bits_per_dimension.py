"""Likelihood of test images in bits per dimension: ELBO and importance-weighted bound."""

import math

import numpy as np

from celeba_vae.metrics.likelihood import fit_sigma, likelihood_bounds
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.runtime.arrays import Pixels
from celeba_vae.runtime.outs import Result, Table
from celeba_vae.shards.read import Split


def measure_likelihood(
    model: Pretrained,
    train: Split,
    fitted_on: np.ndarray,
    images: Pixels,
    *,
    samples: int,
    seed: int,
) -> Result:
    """Measure how many bits the model needs for each value of a pixel.

    Args:
        model: a variational model.
        train: the training images.
        fitted_on: rows of those that sigma is fitted on.
        images: test images, (n, size, size, 3).
        samples: z-points drawn for each of them; a power of 2.
        seed: seed of the noise in z.

    Returns:
        outs: bounds.tsv, the importance-weighted bound by the number of samples.
        metrics: images (n) and importance_samples; sigma, in pixels of [0, 1]; ELBO and bound.
    """
    sigma = fit_sigma(model, train, fitted_on, seed=seed)
    elbo, bounds = likelihood_bounds(model, images, samples=samples, sigma=sigma, seed=seed)

    def bits(nats: float) -> float:
        return float(-nats / (images[0].size * math.log(2)))

    table = Table(
        ("samples", "bits_per_dimension"), [(count, bits(bound)) for count, bound in bounds.items()]
    )
    metrics = {
        "images": len(images),
        "importance_samples": samples,
        "sigma": sigma,
        "elbo_bits_per_dimension": bits(elbo),
        "bound_bits_per_dimension": bits(bounds[samples]),
    }
    return Result({"bounds.tsv": table}, metrics)
