"""What a cloud of z-points looks like, in figures that have a known value for N(0, I).

All functions take arrays with one row for each image, work in float64 by blocks of rows (so that
all of CelebA, 202,599 x 256, needs no second copy), and divide by n, not n - 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Points = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

_BLOCK_ROWS = 8192
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_BINS = 40


def kl_per_dimension(mu: Points, log_var: Points) -> Floats:
    """Return the KL divergence of q(z|x) from N(0, I) in each dimension, in nats per image.

    KL = 0.5 (mu^2 + exp(log_var) - 1 - log_var), averaged over the images (Kingma and Welling
    2014, appendix B). The KL loss of an image is on average the sum over the dimensions.

    Args:
        mu: (images, z_dim).
        log_var: (images, z_dim).
    """
    total = np.zeros(mu.shape[1])
    for m, lv in zip(_blocks(mu), _blocks(log_var), strict=True):
        # expm1 keeps the digits that exp(lv) - 1 - lv loses where the posterior is the prior.
        total += 0.5 * (m**2 + (np.expm1(lv) - lv)).sum(axis=0)
    return total / len(mu)


def dimension_table(
    mu: Points, log_var: Points | None, z: Points, *, active_variance: float
) -> dict[str, NDArray[Any]]:
    """Return one row of figures for each dimension, as columns of length z_dim.

    Args:
        mu: (images, z_dim).
        log_var: (images, z_dim); None for the plain autoencoder.
        z: (images, z_dim), one sample of q(z|x) for each image; mu for the plain autoencoder.
        active_variance: a dimension is active if the variance of mu over the images is larger
            (Burda, Grosse and Salakhutdinov 2016, section 5.2).

    Returns:
        dimension (0, 1, ...), mean_mu, std_mu, mean_z, std_z and active (bool); with log_var
        also kl (nats per image) and posterior_variance (the mean of exp(log_var)).
    """
    mean_mu, variance_mu = _mean_and_variance(mu)
    mean_z, variance_z = _mean_and_variance(z)
    table = {
        "dimension": np.arange(mu.shape[1]),
        "mean_mu": mean_mu,
        "std_mu": np.sqrt(variance_mu),
        "mean_z": mean_z,
        "std_z": np.sqrt(variance_z),
        "active": variance_mu > active_variance,
    }
    if log_var is not None:
        variance = sum(np.exp(lv).sum(axis=0) for lv in _blocks(log_var)) / len(log_var)
        table |= {
            "kl": kl_per_dimension(mu, log_var),
            "posterior_variance": np.asarray(variance),
        }
    return table


def radii(points: Points) -> Floats:
    """Return each row's distance from the origin, of shape (n,)."""
    return np.concatenate([np.linalg.norm(block, axis=1) for block in _blocks(points)])


def radius_summary(points: Points) -> dict[str, float]:
    """Compare the distances |z| from the origin with those of N(0, I), the chi distribution.

    Returns:
        mean, std, the percentiles p01 to p99; chi_mean and chi_std, the mean and deviation of
        the chi distribution with as many degrees of freedom as there are dimensions (256: 15.98
        and 0.71); ks_distance, the Kolmogorov-Smirnov distance to it (0 to 1), and
        wasserstein_distance, the mean distance |z| would have to move to become chi distributed,
        taken between the sorted |z| and the chi quantiles (i - 1/2) / n.
    """
    lengths = np.sort(radii(points))
    chi = stats.chi(points.shape[1])
    quantiles = chi.ppf((np.arange(len(lengths)) + 0.5) / len(lengths))
    return {
        "mean": float(lengths.mean()),
        "std": float(lengths.std()),
        **{f"p{p:02d}": float(np.percentile(lengths, p)) for p in _PERCENTILES},
        "chi_mean": float(chi.mean()),
        "chi_std": float(chi.std()),
        "ks_distance": float(stats.ks_1samp(lengths, chi.cdf, method="asymp").statistic),
        "wasserstein_distance": float(np.abs(lengths - quantiles).mean()),
    }


def mean_and_covariance(points: Points) -> tuple[Floats, Floats]:
    """Return the centre (d,) and the covariance matrix (d, d) of a cloud of points (n, d)."""
    mean, _ = _mean_and_variance(points)
    covariance = np.zeros((points.shape[1], points.shape[1]))
    for block in _blocks(points):
        centred = block - mean
        covariance += centred.T @ centred
    return mean, covariance / len(points)


def correlation(covariance: Floats) -> Floats:
    """Return the correlation matrix of a covariance matrix; 0 where a dimension is constant."""
    deviation = np.sqrt(np.diagonal(covariance))
    scale = np.outer(deviation, deviation)
    # A constant dimension's variance is 0 but for rounding, which correlates with itself.
    varies = scale > scale.max() * np.finfo(np.float64).eps
    result = np.zeros_like(covariance)
    np.divide(covariance, scale, out=result, where=varies)
    return result


def strongest_pair(covariance: Floats) -> tuple[int, int]:
    """Return the two dimensions i < j with the largest absolute correlation."""
    size = np.abs(correlation(covariance))
    size[np.tril_indices_from(size)] = -1  # less than no correlation at all
    i, j = np.unravel_index(np.argmax(size), size.shape)
    return int(i), int(j)


def marchenko_pastur_edges(points: int, dimensions: int) -> tuple[float, float]:
    """Return between which values the covariance eigenvalues of samples of N(0, I) lie.

    (1 - sqrt(d/n))^2 and (1 + sqrt(d/n))^2 for n points in d dimensions, both large (Marchenko
    and Pastur 1967). With fewer points than dimensions d - n eigenvalues are 0 and the edges
    hold for the others.
    """
    root = np.sqrt(dimensions / points)
    return float((1 - root) ** 2), float((1 + root) ** 2)


def covariance_summary(points: Points) -> dict[str, Any]:
    """Describe centre and shape of a cloud of points (n, d); for N(0, I) 0 and the unit ball.

    Returns:
        centre_distance: length of the mean vector.
        eigenvalues: of the covariance matrix, descending, (d,); the variances along the axes of
            the cloud's ellipsoid. Rounding errors below 0 are 0.
        condition_number: largest by smallest eigenvalue; None if the cloud is flat.
        effective_rank: exp of the entropy of the eigenvalues' shares (Roy and Vetterli 2007);
            from 1 (a line) to d (a ball); 0 if all points are the same.
        largest_correlation: largest absolute correlation of two dimensions, 0 to 1.
        marchenko_pastur_edges: what samples of N(0, I) have as smallest and largest eigenvalue.
    """
    count, dimensions = points.shape
    mean, covariance = mean_and_covariance(points)
    eigenvalues = np.clip(np.linalg.eigvalsh(covariance)[::-1], 0, None)
    largest, smallest = eigenvalues[0], eigenvalues[-1]
    rounding = largest * dimensions * np.finfo(np.float64).eps
    off_diagonal = np.abs(correlation(covariance)[~np.eye(dimensions, dtype=bool)])
    return {
        "centre_distance": float(np.linalg.norm(mean)),
        "eigenvalues": eigenvalues,
        "condition_number": float(largest / smallest) if smallest > rounding else None,
        "effective_rank": float(np.exp(stats.entropy(eigenvalues))) if largest > 0 else 0.0,
        "largest_correlation": float(off_diagonal.max(initial=0)),
        "marchenko_pastur_edges": marchenko_pastur_edges(count, dimensions),
    }


def summarize(
    mu: Points, log_var: Points | None, z: Points, *, active_variance: float
) -> dict[str, float | int | None]:
    """Return the few figures that tell how the KL loss confines one split, ready for JSON.

    Args and units as in `dimension_table`, `radius_summary` and `covariance_summary`; the
    eigenvalues, the effective rank and the correlation are those of z, not of mu. Without
    log_var there are no figures of KL and posterior variance.
    """
    table = dimension_table(mu, log_var, z, active_variance=active_variance)
    z_radius, mu_radius = radius_summary(z), radius_summary(mu)
    shape = covariance_summary(z)
    of_posterior = {}
    if log_var is not None:
        of_posterior = {
            "kl_nats_per_image": float(table["kl"].sum()),
            "posterior_variance_mean": float(table["posterior_variance"].mean()),
        }
    return {
        "images": len(z),
        "z_dim": z.shape[1],
        **of_posterior,
        "active_dimensions": int(table["active"].sum()),
        "z_radius_mean": z_radius["mean"],
        "z_radius_std": z_radius["std"],
        "mu_radius_mean": mu_radius["mean"],
        "mu_radius_std": mu_radius["std"],
        "chi_mean": z_radius["chi_mean"],
        "chi_std": z_radius["chi_std"],
        "z_radius_ks_distance": z_radius["ks_distance"],
        "z_radius_wasserstein_distance": z_radius["wasserstein_distance"],
        "centre_distance": shape["centre_distance"],
        "mean_z_rms": float(np.sqrt((table["mean_z"] ** 2).mean())),
        "std_z_mean": float(table["std_z"].mean()),
        "std_mu_mean": float(table["std_mu"].mean()),
        "largest_correlation": shape["largest_correlation"],
        "eigenvalue_max": float(shape["eigenvalues"][0]),
        "eigenvalue_min": float(shape["eigenvalues"][-1]),
        "condition_number": shape["condition_number"],
        "effective_rank": shape["effective_rank"],
    }


def radius_table(lengths: Mapping[str, Floats], z_dim: int) -> dict[str, Floats]:
    """Return histograms of |z| over common bins, beside the density expected for N(0, I).

    Args:
        lengths: the distances from the origin of each split.
        z_dim: the number of dimensions, that is of the chi distribution's degrees of freedom.

    Returns:
        radius (centre of the bin), a density for each split, and chi (density at the centre);
        columns of equal length. The bins reach over all |z| and over the chi distribution.
    """
    chi = stats.chi(z_dim)
    ends = np.concatenate([chi.ppf([0.0005, 0.9995]), *lengths.values()])
    edges = np.linspace(ends.min(), ends.max(), _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    return {
        "radius": centres,
        **{name: np.histogram(r, edges, density=True)[0] for name, r in lengths.items()},
        "chi": chi.pdf(centres),
    }


def component_table(z: Points, dimensions: Sequence[int]) -> dict[str, Floats]:
    """Return histograms of single components of z, beside the density of N(0, 1).

    Args:
        z: (images, z_dim).
        dimensions: the dimensions to show, strongest first.

    Returns:
        z (centre of the bin), component_1, component_2, ... in the order of `dimensions`, and
        normal; columns of equal length. The bins reach from -4 to 4, or as far as the values.
    """
    shown = z[:, list(dimensions)].astype(np.float64)
    reach = max(4.0, float(np.abs(shown).max()))
    edges = np.linspace(-reach, reach, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    return {
        "z": centres,
        **{
            f"component_{rank}": np.histogram(values, edges, density=True)[0]
            for rank, values in enumerate(shown.T, start=1)
        },
        "normal": stats.norm.pdf(centres),
    }


def _blocks(points: Points) -> Iterator[Floats]:
    for start in range(0, len(points), _BLOCK_ROWS):
        yield points[start : start + _BLOCK_ROWS].astype(np.float64)


def _mean_and_variance(points: Points) -> tuple[Floats, Floats]:
    # Two passes: the difference E[z^2] - E[z]^2 loses all digits far from the origin.
    mean = sum(block.sum(axis=0) for block in _blocks(points)) / len(points)
    variance = sum(((b - mean) ** 2).sum(axis=0) for b in _blocks(points)) / len(points)
    return np.asarray(mean), np.asarray(variance)
