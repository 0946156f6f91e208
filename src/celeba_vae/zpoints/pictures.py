"""Plots of where the z-points lie, of the training images unless they say otherwise."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.distances import subsample_rows
from celeba_vae.latent.fitting import fit_ellipse, fit_gaussian
from celeba_vae.latent.statistics import (
    expected_ks_distance,
    histogram_table,
    mahalanobis_law,
    radius_table,
    strongest_pairs,
)
from celeba_vae.params import ZpointsParams
from celeba_vae.plots.distributions import (
    plot_components,
    plot_dimensions,
    plot_eigenvalues,
    plot_kl_decomposition,
    plot_mahalanobis,
    plot_normality,
    plot_radius,
)
from celeba_vae.plots.planes import plot_attributes, plot_planes, plot_principal
from celeba_vae.runtime.arrays import Floats
from celeba_vae.zpoints.describe import INFORMATIVE_KL, Described, strongest_dimensions
from celeba_vae.zpoints.encode import Encoded
from celeba_vae.zpoints.tables import COMPONENTS, Columns

# Images in a picture of a projection: more only hide each other.
PROJECTED_IMAGES = 3000

_PAIRS = 6
_SHOWN_ATTRIBUTES = (
    "Male",
    "Smiling",
    "Eyeglasses",
    "Young",
    "Blond_Hair",
    "Black_Hair",
    "Wearing_Hat",
    "Pale_Skin",
    "Bangs",
    "Mouth_Slightly_Open",
)
_ATTRIBUTE_PANELS = 8

Attributes = Mapping[str, NDArray[np.bool_]]


def plot_zpoints(
    splits: Mapping[str, Encoded],
    described: Mapping[str, Described],
    curves: Mapping[str, Columns],
    attributes: Attributes,
    *,
    params: ZpointsParams,
) -> dict[str, bytes]:
    """Return the plots as PNG, by name.

    Args:
        splits: the z-points by the name of the split; one of them is `train`.
        described: see `describe_splits`.
        curves: see `tables.curves`.
        attributes: (training images,) each, by name.
        params: the parameters of the stage.

    Returns:
        radius, dimensions, normality, components, eigenvalues, mahalanobis, rate, planes,
        principal, attributes, and with `zpoints.tests: full` tsne. Those that need log_var, more
        images than dimensions, two dimensions, attributes or z-points that differ are left out
        where there are none.
    """
    train, table = splits["train"], described["train"].dimensions
    images, z_dim = len(train.z), train.z.dimensions
    strongest, ranked_by = strongest_dimensions(table)
    radii = {"z": curves["radius"]}
    eigenvalues = {"z": curves["eigenvalues"]["z"]}
    if train.log_var is not None:
        radii["mu"] = radius_table({n: split.mu.radii for n, split in splits.items()}, z_dim)
        eigenvalues["mu"] = curves["eigenvalues"]["mu"]
    plots = {
        "radius": plot_radius(radii, z_dim),
        "dimensions": plot_dimensions(table, strongest, informative_kl=INFORMATIVE_KL),
        "normality": plot_normality(table, expected_ks=expected_ks_distance(images), images=images),
        "components": plot_components(
            curves["components"], strongest[:COMPONENTS], ranked_by=ranked_by
        ),
        "eigenvalues": plot_eigenvalues(
            eigenvalues, curves["eigenvalues"]["normal"], images=images
        ),
    }
    if train.log_var is not None:
        parts = {name: split.values["rate"] for name, split in described.items()}
        plots["rate"] = plot_kl_decomposition(parts)
    squared = {n: d.mahalanobis for n, d in described.items() if d.mahalanobis is not None}
    if squared:
        plots["mahalanobis"] = _plot_mahalanobis(squared, images, z_dim)
    if z_dim > 1:
        pairs = strongest_pairs(train.z.correlation, count=_PAIRS)
        related = [float(train.z.correlation[pair]) for pair in pairs]
        plots["planes"] = plot_planes(train.z.points, pairs, related)
        plots["principal"] = _plot_principal(train.z, pairs[0])
        plots |= _plot_attributes(train.mu, attributes, params=params)
    return plots


def _plot_mahalanobis(squared: Mapping[str, Floats], images: int, z_dim: int) -> bytes:
    laws = {
        f"if z were normal: {label}": mahalanobis_law(images, z_dim, own=own)
        for label, own in ((f"these {images:,} training images", True), ("new images", False))
    }
    chi2 = mahalanobis_law(10**9 * z_dim, z_dim, own=False)
    table = histogram_table(squared, chi2, name="squared", of="chi2")
    return plot_mahalanobis(table, z_dim, laws)


def _plot_principal(z: Cloud, pair: tuple[int, int]) -> bytes:
    ellipse = fit_ellipse(fit_gaussian(z))
    widest, two = ellipse.axes[:, :2], ellipse.deviations[:2]
    # In z's own precision: a second copy of all of z would only serve a picture.
    along = z.points @ widest.astype(z.points.dtype) - ellipse.mean @ widest
    white = along / np.where(two > 0, two, 1)
    return plot_principal(
        {
            f"Before: two dimensions\nz in dimension {pair[0]} | "
            f"z in dimension {pair[1]}": z.points[:, list(pair)],
            "Turned: the widest axes\nprincipal component 1 (unit of z) | "
            "principal component 2 (unit of z)": along,
            "Whitened\nprincipal component 1 (deviations) | "
            "principal component 2 (deviations)": white,
        },
    )


def _plot_attributes(
    mu: Cloud, attributes: Attributes, *, params: ZpointsParams
) -> dict[str, bytes]:
    rows = subsample_rows(len(mu), count=PROJECTED_IMAGES, seed=params.seed)
    varying = [
        name
        for name in _SHOWN_ATTRIBUTES
        if name in attributes and 0 < attributes[name][rows].mean() < 1
    ]
    shown = {name: attributes[name][rows] for name in varying[:_ATTRIBUTE_PANELS]}
    if not shown:
        return {}
    ellipse = fit_ellipse(fit_gaussian(mu))
    share = ellipse.deviations**2 / max((ellipse.deviations**2).sum(), 1e-300)
    points = mu.points[rows].astype(np.float64)
    plots = {
        "attributes": plot_attributes(
            (points - ellipse.mean) @ ellipse.axes[:, :2],
            shown,
            title=f"mu of {len(rows):,} training images along its two widest principal axes",
            axis_labels=(
                f"principal component 1 (unit of z), {share[0]:.0%} of the variance",
                f"principal component 2 (unit of z), {share[1]:.0%} of the variance",
            ),
        )
    }
    # t-SNE divides by the deviation of its first axis; without any, scikit-learn's crashes Python.
    if params.tests == "full" and len(rows) > 100 and (points != points[0]).any():
        # Started at the principal axes, it needs no luck; its scale means nothing.
        tsne = TSNE(perplexity=30, init="pca", random_state=params.seed, n_jobs=1)
        plots["tsne"] = plot_attributes(
            tsne.fit_transform(points),
            shown,
            title=f"mu of {len(rows):,} training images, t-SNE with perplexity 30",
            axis_labels=("t-SNE 1 (no unit)", "t-SNE 2 (no unit)"),
        )
    return plots
