"""Statistics of z-points: KL, moments, radii, eigenvalues, Mahalanobis distances, histograms.

Each has a known value for N(0, I). All work is done in float64, by blocks of rows or columns (so
that all of CelebA, 202,599 x 256, needs no second copy), and divides by n, not n - 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from celeba_vae.latent.cloud import Cloud, float_blocks
from celeba_vae.runtime.arrays import Floats, Points

_BLOCK_COLUMNS = 16
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_PERCENTILE_NAMES = tuple(f"p{percent:02d}" for percent in _PERCENTILES)
_BINS = 40


def kl_terms(mu: Floats, log_var: Floats) -> Floats:
    """Return the KL divergence of q(z|x) from N(0, 1) for each image and dimension, in nats.

    KL = 0.5 (mu^2 + exp(log_var) - 1 - log_var) (Kingma and Welling 2014, appendix B). The KL loss
    of an image is the sum over its dimensions.

    Args:
        mu: (images, z_dim).
        log_var: (images, z_dim).

    Returns:
        (images, z_dim).
    """
    # expm1 keeps the digits that exp(log_var) - 1 - log_var loses where the posterior is the prior.
    return 0.5 * (mu**2 + (np.expm1(log_var) - log_var))


def kl_per_dimension(mu: Points, log_var: Points) -> Floats:
    """Return the mean of `kl_terms` over the images, (z_dim,), in nats per image."""
    total = np.zeros(mu.shape[1])
    for centre, lv in zip(float_blocks(mu), float_blocks(log_var), strict=True):
        total += kl_terms(centre, lv).sum(axis=0)
    return total / len(mu)


def component_statistics(points: Points) -> dict[str, Floats]:
    """Describe each dimension of a cloud of points (n, d), beside what N(0, 1) has.

    Returns:
        Columns of length d, in the unit of z unless said otherwise: mean (0), std (1), skewness
        (0, no unit), excess_kurtosis (0, no unit; both are 0 where all values are the same), the
        percentiles p01 to p99; ks_distance, the Kolmogorov-Smirnov distance to N(0, 1) (0 to 1,
        an effect size: a sample of N(0, 1) has 0.87 / sqrt(n) on average, see
        `expected_ks_distance`), and wasserstein_distance, how far a value has to move on average
        to become N(0, 1) distributed, taken between the sorted values and the normal quantiles
        (i - 1/2) / n.
    """
    count, dimensions = points.shape
    normal = stats.norm.ppf((np.arange(count) + 0.5) / count)[:, None]
    steps = np.arange(count + 1)[:, None] / count
    columns: dict[str, list[Floats]] = {}
    for start in range(0, dimensions, _BLOCK_COLUMNS):
        values = np.sort(points[:, start : start + _BLOCK_COLUMNS].astype(np.float64), axis=0)
        mean, std = values.mean(axis=0), values.std(axis=0)
        # The deviation of a constant column is 0 but for rounding.
        varies = std > np.abs(mean) * count * np.finfo(np.float64).eps
        scaled = (values - mean) / np.where(varies, std, np.inf)
        cumulative = special.ndtr(values)
        above, below = steps[1:] - cumulative, cumulative - steps[:-1]
        described = {
            "mean": mean,
            "std": np.where(varies, std, 0.0),
            "skewness": (scaled**3).mean(axis=0),
            "excess_kurtosis": np.where(varies, (scaled**4).mean(axis=0) - 3, 0.0),
            **dict(
                zip(_PERCENTILE_NAMES, np.percentile(values, _PERCENTILES, axis=0), strict=True)
            ),
            "ks_distance": np.maximum(above, below).max(axis=0),
            "wasserstein_distance": np.abs(values - normal).mean(axis=0),
        }
        for name, column in described.items():
            columns.setdefault(name, []).append(column)
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def expected_ks_distance(count: int) -> float:
    """Return the mean Kolmogorov-Smirnov distance of `count` values from their own distribution.

    sqrt(pi / 2) ln 2 / sqrt(n), the mean of Kolmogorov's limit distribution (Marsaglia, Tsang and
    Wang 2003).
    """
    return float(np.sqrt(np.pi / 2) * np.log(2) / np.sqrt(count))


def dimension_table(
    mu: Points, log_var: Points | None, z: Points, *, active_variance: float
) -> dict[str, NDArray[Any]]:
    """Return statistics of each dimension, as columns of length z_dim.

    Args:
        mu: (images, z_dim).
        log_var: (images, z_dim), or None for a plain autoencoder.
        z: (images, z_dim), one sample of q(z|x) for each image; mu for a plain autoencoder.
        active_variance: a dimension is active if the variance of mu over the images is larger
            (Burda, Grosse and Salakhutdinov 2016, section 5.2).

    Returns:
        dimension (0, 1, ...), active (bool), the columns of `component_statistics` of mu and of z
        under the names mu_mean, ..., z_wasserstein_distance; and with log_var kl (nats per image)
        and posterior_variance (the mean of exp(log_var)).
    """
    described = {"mu": component_statistics(mu), "z": component_statistics(z)}
    table: dict[str, NDArray[Any]] = {
        "dimension": np.arange(mu.shape[1]),
        "active": described["mu"]["std"] ** 2 > active_variance,
    }
    if log_var is not None:
        table["kl"] = kl_per_dimension(mu, log_var)
        variance = sum(np.exp(lv).sum(axis=0) for lv in float_blocks(log_var)) / len(log_var)
        table["posterior_variance"] = np.asarray(variance)
    for cloud, columns in described.items():
        table |= {f"{cloud}_{name}": column for name, column in columns.items()}
    return table


def radius_summary(cloud: Cloud) -> dict[str, float]:
    """Compare the distances |z| from the origin with those of N(0, I), the chi distribution.

    Returns:
        mean, std, the percentiles p01 to p99; chi_mean and chi_std, the mean and deviation of
        the chi distribution with as many degrees of freedom as there are dimensions (256: 15.98
        and 0.71); ks_distance, the Kolmogorov-Smirnov distance to it (0 to 1), and
        wasserstein_distance, the mean distance |z| would have to move to become chi distributed,
        taken between the sorted |z| and the chi quantiles (i - 1/2) / n.
    """
    lengths = np.sort(cloud.radii)
    chi = stats.chi(cloud.dimensions)
    quantiles = chi.ppf((np.arange(len(lengths)) + 0.5) / len(lengths))
    return {
        "mean": float(lengths.mean()),
        # All the same is 0 and not the rounding error of their mean.
        "std": float(lengths.std()) if lengths[0] < lengths[-1] else 0.0,
        **dict(zip(_PERCENTILE_NAMES, np.percentile(lengths, _PERCENTILES).tolist(), strict=True)),
        "chi_mean": float(chi.mean()),
        "chi_std": float(chi.std()),
        "ks_distance": float(stats.ks_1samp(lengths, chi.cdf, method="asymp").statistic),
        "wasserstein_distance": float(np.abs(lengths - quantiles).mean()),
    }


def strongest_pairs(correlation: Floats, *, count: int) -> list[tuple[int, int]]:
    """Return the `count` pairs of dimensions i < j with the largest absolute correlation.

    Of a correlation matrix (d, d); strongest first, and all pairs where there are fewer. No
    dimension is in two of them, as long as there are others: one that correlates with many would
    hide all else.
    """
    rows, columns = np.triu_indices_from(correlation, k=1)
    size = np.abs(correlation[rows, columns])
    order = np.argsort(-size, kind="stable").tolist()
    pairs = [(int(rows[place]), int(columns[place])) for place in order]
    fresh: list[tuple[int, int]] = []
    for pair in pairs:
        if len(fresh) < count and not {*pair} & {number for one in fresh for number in one}:
            fresh.append(pair)
    return (fresh + [pair for pair in pairs if pair not in fresh])[:count]


def marchenko_pastur_edges(points: int, dimensions: int) -> tuple[float, float]:
    """Return between which values the covariance eigenvalues of samples of N(0, I) lie.

    (1 - sqrt(d/n))^2 and (1 + sqrt(d/n))^2 for n points in d dimensions, both large (Marchenko
    and Pastur 1967). With fewer points than dimensions d - n eigenvalues are 0 and the edges
    hold for the others.
    """
    root = np.sqrt(dimensions / points)
    return float((1 - root) ** 2), float((1 + root) ** 2)


def marchenko_pastur_eigenvalues(points: int, dimensions: int) -> Floats:
    """Return the covariance eigenvalues to expect of a sample of N(0, I), descending, (d,).

    The quantiles (i - 1/2) / d of the law with the density
    sqrt((b - x)(x - a)) / (2 pi x d / n) between its edges a and b, for n points in d dimensions
    (Marchenko and Pastur 1967); d - n of them are 0 where there are fewer points than dimensions.
    """
    low, high = marchenko_pastur_edges(points, dimensions)
    # On a half circle over [a, b] the density has no steep ends.
    angle = np.linspace(0, np.pi, 4001)
    place = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    mass = np.zeros_like(angle)
    np.divide(np.sin(angle) ** 2, place, out=mass, where=place > 0)
    share = np.concatenate([[0.0], np.cumsum((mass[1:] + mass[:-1]) / 2)])
    varying = min(points, dimensions)
    ranks = (np.arange(varying) + 0.5) / varying
    found = np.interp(ranks, share / share[-1], place)
    return np.concatenate([found[::-1], np.zeros(dimensions - varying)])


def covariance_summary(cloud: Cloud) -> dict[str, Any]:
    """Describe centre and shape of a cloud; for N(0, I) 0 and the unit ball.

    Returns:
        centre_distance: length of the mean vector; samples of N(0, I) have sqrt(d / n).
        condition_number: largest by smallest eigenvalue; None if the cloud is flat.
        effective_rank: exp of the entropy of the eigenvalues' shares (Roy and Vetterli 2007);
            from 1 (a line) to d (a ball); 0 if all points are the same.
        largest_correlation, rms_correlation: largest absolute correlation of two dimensions, and
            the root of the mean square of all; samples of N(0, I) have an rms of 1 / sqrt(n).
        marchenko_pastur_edges: what samples of N(0, I) have as smallest and largest eigenvalue.
    """
    largest, smallest = cloud.eigenvalues[0], cloud.eigenvalues[-1]
    off_diagonal = np.abs(cloud.correlation[np.triu_indices(cloud.dimensions, k=1)])
    return {
        "centre_distance": float(np.linalg.norm(cloud.mean)),
        "condition_number": None if cloud.is_flat else float(largest / smallest),
        "effective_rank": float(np.exp(stats.entropy(cloud.eigenvalues))) if largest > 0 else 0.0,
        "largest_correlation": float(off_diagonal.max(initial=0)),
        "rms_correlation": float(np.linalg.norm(off_diagonal) / np.sqrt(max(len(off_diagonal), 1))),
        "marchenko_pastur_edges": marchenko_pastur_edges(len(cloud), cloud.dimensions),
    }


def has_mahalanobis(cloud: Cloud) -> bool:
    """Say whether distances from a cloud in its own deviations are defined, and have a mean."""
    # With fewer points, the distances of new points have no mean.
    return len(cloud) > cloud.dimensions + 2 and not cloud.is_flat


def squared_mahalanobis(points: Points, cloud: Cloud) -> Floats:
    """Return the squared Mahalanobis distance of each point (n, d) from a cloud, (n,).

    (z - mean)^T covariance^-1 (z - mean): the squared distance from the centre in units of the
    cloud's own deviations (Mahalanobis 1936). The cloud must not be flat.
    """
    values, axes = cloud.eigenvectors
    whiten = axes / np.sqrt(values)
    return np.concatenate(
        [(((b - cloud.mean) @ whiten) ** 2).sum(axis=1) for b in float_blocks(points)]
    )


def mahalanobis_law(fitted: int, dimensions: int, *, own: bool) -> Any:
    """Return the law of squared Mahalanobis distances where all points are normal.

    With mean and covariance (divided by n) estimated from n points of the same normal
    distribution, the squared distance of one of these points is (n - 1) times
    Beta(d/2, (n - d - 1)/2), that of a new point (n + 1) d / (n - d) times F(d, n - d); for n far
    above d both become chi-square with d degrees of freedom (Wilks 1962; Hardin and Rocke 2005).

    Args:
        fitted: n, the points that mean and covariance were estimated from; more than d + 2.
        dimensions: d.
        own: whether the distances are those of these very points.

    Returns:
        A frozen distribution of scipy.stats.
    """
    n, d = fitted, dimensions
    if own:
        return stats.beta(d / 2, (n - d - 1) / 2, scale=n - 1)
    return stats.f(d, n - d, scale=(n + 1) * d / (n - d))


def mahalanobis_summary(
    squared: Floats, *, fitted: int, dimensions: int, own: bool
) -> dict[str, float]:
    """Compare squared Mahalanobis distances with those of a normal cloud.

    Args:
        squared: the distances, see `squared_mahalanobis`.
        fitted: see `mahalanobis_law`.
        dimensions: see `mahalanobis_law`.
        own: see `mahalanobis_law`.

    Returns:
        mean and std; chi2_mean and chi2_std, those of the chi-square distribution (d and
        sqrt(2 d)); expected_mean, that of the law for so many points, which differs where there
        are few; and the Kolmogorov-Smirnov distances to both.
    """
    chi2 = stats.chi2(dimensions)
    law = mahalanobis_law(fitted, dimensions, own=own)
    return {
        "mean": float(squared.mean()),
        "std": float(squared.std()),
        "chi2_mean": float(chi2.mean()),
        "chi2_std": float(chi2.std()),
        "expected_mean": float(law.mean()),
        "ks_distance_to_chi2": float(stats.ks_1samp(squared, chi2.cdf, method="asymp").statistic),
        "ks_distance_to_expected": float(
            stats.ks_1samp(squared, law.cdf, method="asymp").statistic
        ),
    }


def histogram_table(
    values: Mapping[str, Floats], law: Any, *, name: str, of: str
) -> dict[str, Floats]:
    """Return histograms over common bins, beside an expected density.

    Args:
        values: what to count, by the names of the columns.
        law: the expected distribution, a frozen distribution of scipy.stats.
        name: name of the column with the centres of the bins.
        of: name of the column with the expected density at these centres.

    Returns:
        The columns `name`, those of `values` (densities), and `of`; all of equal length. The bins
        reach over all values and 99.9 % of the expected distribution.
    """
    ends = np.concatenate([law.ppf([0.0005, 0.9995]), *values.values()])
    edges = np.linspace(ends.min(), ends.max(), _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    counts = {key: np.histogram(each, edges, density=True)[0] for key, each in values.items()}
    return {name: centres, **counts, of: law.pdf(centres)}


def radius_table(lengths: Mapping[str, Floats], z_dim: int) -> dict[str, Floats]:
    """Return histograms of |z| over common bins, beside the density expected for N(0, I).

    Args:
        lengths: the distances from the origin of each split.
        z_dim: the number of dimensions, that is of the chi distribution's degrees of freedom.

    Returns:
        radius (centre of the bin), a density for each split, and chi (density at the centre);
        columns of equal length. The bins reach over all |z| and over the chi distribution.
    """
    return histogram_table(lengths, stats.chi(z_dim), name="radius", of="chi")


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
