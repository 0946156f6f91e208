"""Write what is known about the z-points of all splits: tables, plots and a few metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.figures import plots
from celeba_vae.files import write_tsv
from celeba_vae.latent.statistics import (
    Points,
    component_table,
    covariance_summary,
    dimension_table,
    mean_and_covariance,
    radii,
    radius_table,
    strongest_pair,
    summarize,
)

# So many single components are shown: enough to see a pattern, few enough for one picture.
_COMPONENTS = 12


def write_zpoint_report(
    folder: Path,
    splits: Mapping[str, tuple[Points, Points | None, Points]],
    *,
    active_variance: float,
) -> dict[str, dict[str, float | int | None]]:
    """Write tables and plots of the z-point distribution and return the metrics of each split.

    Everything but the radii is shown for the training split. Files:
        dimensions.tsv: the figures of each dimension (see `dimension_table`; active is 0 or 1).
        radius.tsv: histograms of |z| for each split beside the chi density.
        components.tsv: histograms of the strongest dimensions beside N(0, 1): those with the
            largest KL, and without log_var those with the largest deviation of z.
        eigenvalues.tsv: rank and eigenvalue of the covariance of z, descending.
        plots/radius.png, dimensions.png, components.png, eigenvalues.png, and, from two
        dimensions on, plane.png.

    Args:
        folder: where to write.
        splits: (mu, log_var, z) by name, each (images, z_dim); one of them is `train`. log_var
            is None for the plain autoencoder.
        active_variance: see `dimension_table`.

    Returns:
        `summarize` of each split, ready for JSON.
    """
    mu, log_var, z = splits["train"]
    z_dim = z.shape[1]

    dimensions = dimension_table(mu, log_var, z, active_variance=active_variance)
    _write_columns(
        folder / "dimensions.tsv", {**dimensions, "active": dimensions["active"].astype(int)}
    )
    ranked_by, strength = (
        ("KL", dimensions["kl"])
        if log_var is not None
        else ("standard deviation", dimensions["std_z"])
    )
    order = np.argsort(-strength, kind="stable")
    plots.plot_dimensions(folder / "plots/dimensions.png", dimensions, order, ranked_by=ranked_by)

    lengths = {name: radii(sampled) for name, (_, _, sampled) in splits.items()}
    radius = radius_table(lengths, z_dim)
    _write_columns(folder / "radius.tsv", radius)
    plots.plot_radius(folder / "plots/radius.png", radius, z_dim)

    strongest = order[:_COMPONENTS].tolist()
    components = component_table(z, strongest)
    _write_columns(folder / "components.tsv", components)
    plots.plot_components(
        folder / "plots/components.png", components, strongest, ranked_by=ranked_by
    )

    shape = covariance_summary(z)
    eigenvalues = shape["eigenvalues"]
    _write_columns(
        folder / "eigenvalues.tsv",
        {"rank": np.arange(1, z_dim + 1), "eigenvalue": eigenvalues},
    )
    plots.plot_eigenvalues(
        folder / "plots/eigenvalues.png", eigenvalues, shape["marchenko_pastur_edges"]
    )

    if z_dim > 1:
        pair = strongest_pair(mean_and_covariance(z)[1])
        plots.plot_plane(folder / "plots/plane.png", z[:, pair], pair)

    return {
        name: summarize(*arrays, active_variance=active_variance) for name, arrays in splits.items()
    }


def _write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    write_tsv(path, list(columns), list(rows))
