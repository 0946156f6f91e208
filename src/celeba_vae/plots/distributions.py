"""Plots of distributions: measured values, and beside them what N(0, I) would give.

Each function returns a picture as PNG, in stable bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import stats

from celeba_vae.plots.canvas import (
    BLUE,
    CURVE_POINTS,
    EXPECTED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SPLIT_COLOURS,
    PlainLogFormatter,
    as_png,
    canvas,
    headline,
)

# Times the highest histogram that the expected curve beside it may rise to in a plot.
_TALLEST = 3

Table = Mapping[str, NDArray[np.float64]]


def plot_radius(tables: Mapping[str, Table], z_dim: int) -> bytes:
    """Plot histograms of distances from the origin against the chi distribution.

    Args:
        tables: what `latent.statistics.radius_table` returns, by the name of the cloud, such as
            z; a panel each.
        z_dim: number of dimensions, that is of the chi distribution's degrees of freedom.
    """
    chi = stats.chi(z_dim)
    with canvas(height=4.8) as figure:
        panels = figure.subplots(len(tables), 1, squeeze=False).ravel()
        for (cloud, table), axes in zip(tables.items(), panels, strict=True):
            _histograms(axes, table, chi, name="radius", of="chi", label="N(0, I): chi")
            axes.set(xlabel=f"|{cloud}|", ylabel="density")
            axes.legend()
        headline(figure, f"Distance from the origin, beside N(0, I) in {z_dim} dimensions")
        return as_png(figure)


def plot_mahalanobis(table: Table, z_dim: int, expected: Mapping[str, Any]) -> bytes:
    """Plot histograms of squared Mahalanobis distances against the chi-square distribution.

    Args:
        table: histograms, columns `squared`, one for each split, and `chi2`.
        z_dim: the chi-square distribution's degrees of freedom.
        expected: further laws (frozen distributions of scipy.stats), by their labels.
    """
    with canvas(height=4.6) as figure:
        axes = figure.subplots()
        law = stats.chi2(z_dim)
        _histograms(
            axes,
            table,
            law,
            name="squared",
            of="chi2",
            label=f"chi-square, {z_dim} degrees of freedom",
        )
        fine = np.linspace(table["squared"][0], table["squared"][-1], CURVE_POINTS)
        for (label, other), dots in zip(expected.items(), (":", "-."), strict=True):
            axes.plot(fine, other.pdf(fine), color="black", linestyle=dots, label=label)
        axes.set(
            title="Distance of z from the centre, in deviations of z",
            xlabel="squared Mahalanobis distance",
            ylabel="density",
        )
        figure.legend(loc="outside lower center")
        return as_png(figure)


def plot_dimensions(
    table: Mapping[str, NDArray[Any]], order: Sequence[int], *, informative_kl: float
) -> bytes:
    """Plot deviations and KL of all dimensions.

    Args:
        table: what `latent.statistics.dimension_table` returns. Without kl, that of a plain
            autoencoder, there is no lower panel.
        order: the dimensions, strongest first.
        informative_kl: the KL, in nats, above which a dimension counts as informative.
    """
    rank = np.arange(1, len(order) + 1)
    sorted_table = {name: column[np.asarray(order)] for name, column in table.items()}
    with canvas(height=4.8) as figure:
        has_kl = "kl" in table
        panels = figure.subplots(1 + has_kl, 1, sharex=True, squeeze=False).ravel()
        upper = panels[0]
        # Large and pale: where z and mu agree, or z and the noise, both can be seen.
        if has_kl:
            upper.plot(rank, sorted_table["z_std"], "o", color=BLUE, alpha=0.4, label="z")
        upper.plot(rank, sorted_table["mu_std"], ".", color=ORANGE, label="mu")
        if has_kl:
            noise = np.sqrt(sorted_table["posterior_variance"])
            upper.plot(rank, noise, ".", color=GREEN, label="z around mu")
        upper.axhline(1, **EXPECTED, label="N(0, 1)")
        upper.set(
            title="Standard deviation over the images",
            ylabel="deviation (unit of z)",
            ylim=(0, None),
        )
        upper.legend(ncols=4, loc="center right")
        if has_kl:
            kl = sorted_table["kl"]
            informative = kl > informative_kl
            for chosen, colour, bound in (
                (informative, PURPLE, f"above {informative_kl:g}"),
                (~informative, GREY, f"up to {informative_kl:g}"),
            ):
                label = f"{bound} nats: {chosen.sum()} dimensions"
                panels[1].plot(rank[chosen], kl[chosen], ".", color=colour, label=label)
            panels[1].set(
                title=f"KL from N(0, 1), {kl.sum():.1f} nats per image in all",
                ylabel="nats per image",
                ylim=(0, None),
            )
            panels[1].legend()
        panels[-1].set_xlabel(f"dimension, by rank of its {'KL' if has_kl else 'deviation'}")
        return as_png(figure)


def plot_normality(table: Mapping[str, NDArray[Any]], *, expected_ks: float, images: int) -> bytes:
    """Plot how far each dimension of z is from N(0, 1), in shape and in distance.

    Args:
        table: what `latent.statistics.dimension_table` returns.
        expected_ks: mean Kolmogorov-Smirnov distance of so many values of N(0, 1).
        images: how many values there are.
    """
    panels_of = (
        ("z_ks_distance", "Kolmogorov-Smirnov distance", "distance", BLUE, expected_ks),
        ("z_wasserstein_distance", "Wasserstein distance", "distance (unit of z)", ORANGE, None),
        ("z_skewness", "Skewness", "no unit", GREEN, 0.0),
        ("z_excess_kurtosis", "Excess kurtosis", "no unit", PURPLE, 0.0),
    )
    rank = np.arange(1, len(table["dimension"]) + 1)
    with canvas(width=9, height=6) as figure:
        panels = figure.subplots(2, 2, sharex=True).ravel()
        for (name, title, unit, colour, expected), axes in zip(panels_of, panels, strict=True):
            axes.plot(rank, np.sort(table[name])[::-1], ".", color=colour)
            if expected is not None:
                label = f"{images:,} values of N(0, 1)" if expected else "N(0, 1)"
                axes.axhline(expected, **EXPECTED, label=label)
                axes.legend()
            axes.set(title=title, ylabel=unit)
        for axes in panels[:2]:
            axes.set_ylim(0, None)
        headline(figure, "Each dimension of z beside N(0, 1)")
        figure.supxlabel("dimension, each panel by rank of its values", size="medium")
        return as_png(figure)


def plot_components(table: Table, dimensions: Sequence[int], *, ranked_by: str) -> bytes:
    """Plot histograms of single components of z against N(0, 1), as small multiples.

    Args:
        table: what `latent.statistics.component_table` returns.
        dimensions: the same as given there; at most twelve.
        ranked_by: what they have most of, for the title.
    """
    z = table["z"]
    fine = np.linspace(z[0], z[-1], CURVE_POINTS)
    columns = min(4, len(dimensions))
    with canvas(width=9, height=6) as figure:
        panels = figure.subplots(
            -(-len(dimensions) // columns), columns, sharex=True, sharey=True, squeeze=False
        ).ravel()
        for axes in panels[len(dimensions) :]:
            axes.set_axis_off()
        for rank, (dimension, axes) in enumerate(zip(dimensions, panels, strict=False), start=1):
            density = table[f"component_{rank}"]
            axes.fill_between(z, density, step="mid", color=BLUE, alpha=0.5, label="z")
            axes.plot(fine, stats.norm.pdf(fine), **EXPECTED, label="N(0, 1)")
            axes.set_title(f"dimension {dimension}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
        headline(figure, f"Components of z with the largest {ranked_by}")
        figure.supxlabel("value of the component (unit of z)", size="medium")
        figure.supylabel("density", size="medium")
        return as_png(figure)


def plot_eigenvalues(
    eigenvalues: Mapping[str, NDArray[np.float64]],
    expected: NDArray[np.float64],
    *,
    images: int,
) -> bytes:
    """Plot the eigenvalues of covariances against those of a sample of N(0, I).

    Args:
        eigenvalues: descending, (z_dim,) each, by the name of the cloud.
        expected: those of a sample of N(0, I) of as many images, descending, (z_dim,).
        images: how many images, for the label.
    """
    rank = np.arange(1, len(expected) + 1)
    with canvas() as figure:
        axes = figure.subplots()
        for (name, values), colour in zip(eigenvalues.items(), (BLUE, ORANGE), strict=False):
            axes.plot(rank, values, ".", color=colour, label=name)
        axes.plot(
            rank, expected, **EXPECTED, label=f"{images:,} points of N(0, I) (Marchenko-Pastur)"
        )
        axes.set(
            title="Eigenvalues of the covariance",
            xlabel="rank",
            ylabel="variance (unit of z, squared)",
            yscale="log",
        )
        for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatter(PlainLogFormatter(labelOnlyBase=False))
        axes.legend()
        return as_png(figure)


def plot_kl_decomposition(rates: Mapping[str, Mapping[str, float]]) -> bytes:
    """Plot the parts of the KL loss of each split as bars.

    Args:
        rates: what `latent.kl_decomposition.decompose_kl` returns, by the name of the split.
    """
    parts = (
        ("index_code_mutual_information", "z tells which image it is", BLUE),
        ("total_correlation", "dimensions depend on each other", ORANGE),
        ("dimension_wise_kl", "single dimensions differ from N(0, 1)", GREEN),
    )
    rows = np.arange(len(rates))
    with canvas(height=4.2) as figure:
        axes = figure.subplots()
        left = np.zeros(len(rates))
        for name, label, colour in parts:
            # An estimate may be a little below 0.
            widths = np.array([max(rate[name], 0) for rate in rates.values()])
            axes.barh(rows, widths, left=left, color=colour, height=0.5, label=label)
            for row, width in zip(rows, widths, strict=True):
                if width > 0.06 * left.max() + 0.2:
                    middle = left[row] + width / 2
                    axes.text(middle, float(row), f"{width:.1f}", ha="center", va="center")
            left += widths
        limits = [rate["mutual_information_limit"] for rate in rates.values()]
        for row, limit in zip(rows, limits, strict=True):
            axes.plot(
                [limit, limit],
                [row - 0.38, row + 0.38],
                **EXPECTED,
                label="most that the first part can be: ln(images)" if row == 0 else None,
            )
        axes.set_yticks(rows, list(rates))
        axes.invert_yaxis()
        axes.set(title="What the KL loss is made of", xlabel="nats per image")
        figure.legend(loc="outside lower center")
        return as_png(figure)


def _histograms(axes: Axes, table: Table, law: Any, *, name: str, of: str, label: str) -> None:
    places = table[name]
    splits = {key: column for key, column in table.items() if key not in (name, of)}
    for (split, density), colour in zip(splits.items(), SPLIT_COLOURS, strict=False):
        axes.step(places, density, where="mid", color=colour, label=split)
        if split == "train":
            axes.fill_between(places, density, step="mid", color=colour, alpha=0.2)
    # Finest where the law is: beside a wide cloud it may be thinner than a bin.
    ranges = ((places[0], places[-1]), (law.ppf(1e-6), law.ppf(1 - 1e-6)))
    fine = np.sort(np.concatenate([np.linspace(a, b, CURVE_POINTS) for a, b in ranges]))
    expected = law.pdf(fine)
    # A thin law beside a wide cloud would press the histograms flat: its peak is cut off then.
    limit = _TALLEST * max(density.max() for density in splits.values())
    cut = bool(expected.max() > limit)
    axes.plot(fine, expected, **EXPECTED, label=f"{label} (peak cut off)" if cut else label)
    axes.set_ylim(0, limit if cut else None)
