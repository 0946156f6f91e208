"""KL decomposition into mutual information, total correlation and dimension-wise KL."""

import numpy as np
from scipy.special import logsumexp

from celeba_vae.latent.distances import subsample_rows
from celeba_vae.runtime.arrays import Floats, Points
from celeba_vae.runtime.threads import threaded_map

# The images whose z-points are looked at: the Monte Carlo sample.
EVALUATED_IMAGES = 512
# The images whose posteriors make up the density of a single dimension.
REFERENCE_IMAGES = 4096

_BLOCK_ROWS = 2048
_LOG_TAU = float(np.log(2 * np.pi))


def decompose_kl(mu: Points, log_var: Points, z: Points, *, seed: int) -> dict[str, float | int]:
    """Return the three parts of the KL loss of a data set, in nats per image.

    E KL(q(z|x) || N(0, I)) = I + TC + D (Hoffman and Johnson 2016; Chen et al. 2018), with
    q(z) = 1/n sum q(z|x_i) over the images of the data set and E over images and their z:
        I = E log q(z|x) - log q(z), the mutual information of z and the number of the image;
        TC = E log q(z) - sum log q(z_j), the total correlation of the dimensions;
        D = E sum log q(z_j) - log p(z_j), the dimension-wise KL from the prior.

    The estimator: one z of each of at most EVALUATED_IMAGES random images. The density of z is
    the full sum over all n images, that of a single dimension the sum over at most
    REFERENCE_IMAGES random ones. I cannot exceed ln n: where the rate is far above, the codes of
    the images hardly overlap, and TC takes up what is left.

    Args:
        mu: (n, z_dim).
        log_var: (n, z_dim).
        z: (n, z_dim), one sample of q(z|x) for each image.
        seed: chooses the images.

    Returns:
        index_code_mutual_information (I), mutual_information_limit (ln n), total_correlation,
        dimension_wise_kl, marginal_kl (TC + D, the KL of q(z) from the prior), rate (the sum of
        all three, an estimate of the KL loss), rate_standard_error (from image to image), and
        evaluated_images and reference_images, the sizes of the two subsamples.
    """
    evaluated = subsample_rows(len(mu), count=EVALUATED_IMAGES, seed=seed)
    reference = subsample_rows(len(mu), count=REFERENCE_IMAGES, seed=seed + 1)
    points = z[evaluated].astype(np.float64)
    own = _own_log_density(points, mu[evaluated], log_var[evaluated])
    joint = _joint_log_density(points, mu, log_var)
    single = _sum_of_log_marginals(points, mu[reference], log_var[reference])
    prior = -0.5 * (_LOG_TAU + points**2).sum(axis=1)
    information, correlation, dimension_wise = own - joint, joint - single, single - prior
    rate = own - prior
    return {
        "index_code_mutual_information": float(information.mean()),
        "mutual_information_limit": float(np.log(len(mu))),
        "total_correlation": float(correlation.mean()),
        "dimension_wise_kl": float(dimension_wise.mean()),
        "marginal_kl": float((correlation + dimension_wise).mean()),
        "rate": float(rate.mean()),
        "rate_standard_error": float(rate.std() / np.sqrt(len(rate))),
        "evaluated_images": len(evaluated),
        "reference_images": len(reference),
    }


def _own_log_density(points: Floats, mu: Points, log_var: Points) -> Floats:
    lv = log_var.astype(np.float64)
    squares = (points - mu) ** 2 * np.exp(-lv)
    result: Floats = -0.5 * (_LOG_TAU + lv + squares).sum(axis=1)
    return result


def _joint_log_density(points: Floats, mu: Points, log_var: Points) -> Floats:
    total = np.full(len(points), -np.inf)
    for start in range(0, len(mu), _BLOCK_ROWS):
        lv = log_var[start : start + _BLOCK_ROWS].astype(np.float64)
        centre = mu[start : start + _BLOCK_ROWS].astype(np.float64)
        precision = np.exp(-lv)
        constant = (_LOG_TAU + lv + centre**2 * precision).sum(axis=1)
        # (z - mu)^2 / var, multiplied out: products of matrices instead of n x m x z_dim terms.
        squares = points**2 @ precision.T - 2 * points @ (centre * precision).T
        total = np.logaddexp(total, logsumexp(-0.5 * (squares + constant), axis=1))
    result: Floats = total - np.log(len(mu))
    return result


def _sum_of_log_marginals(points: Floats, mu: Points, log_var: Points) -> Floats:
    def of_dimension(index: int) -> Floats:
        lv = log_var[:, index].astype(np.float64)
        differences = points[:, index, None] - mu[:, index].astype(np.float64)
        exponents = differences**2 * (-0.5 * np.exp(-lv))
        exponents -= 0.5 * lv
        largest = exponents.max(axis=1)
        exponents -= largest[:, None]
        log_density: Floats = largest + np.log(np.exp(exponents, out=exponents).mean(axis=1))
        return log_density - 0.5 * _LOG_TAU

    total = np.zeros(len(points))
    for log_density in threaded_map(of_dimension, range(points.shape[1])):
        total += log_density
    return total
