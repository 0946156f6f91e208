"""Plots as PNG files: measured values, and beside them what N(0, I) would give.

Each function writes one file in stable bytes, whatever matplotlibrc the user has. Colours are
those of Okabe and Ito (2008), which colour-blind people can tell apart; what is expected is
black and dashed everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray
from scipy import stats

from celeba_vae.files import atomic_path

_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
_GREY = "#999999"
_SPLIT_COLOURS = (_BLUE, _ORANGE, _GREEN, _PURPLE)
_EXPECTED: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}
_CURVE_POINTS = 400
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "font.size": 11,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
}


def plot_radius(path: Path, table: Mapping[str, NDArray[np.float64]], z_dim: int) -> None:
    """Plot histograms of |z| against the chi distribution.

    Args:
        path: the PNG file.
        table: what `latent.statistics.radius_table` returns.
        z_dim: number of dimensions, that is of the chi distribution's degrees of freedom.
    """
    radius = table["radius"]
    # Finer than the bins, which are too wide for the curve where the z-points lie far out.
    fine = np.linspace(radius[0], radius[-1], _CURVE_POINTS)
    splits = {name: column for name, column in table.items() if name not in ("radius", "chi")}
    with _figure(path) as figure:
        axes = figure.subplots()
        for (name, density), colour in zip(splits.items(), _SPLIT_COLOURS, strict=False):
            axes.step(radius, density, where="mid", color=colour, label=name)
            if name == "train":
                axes.fill_between(radius, density, step="mid", color=colour, alpha=0.2)
        chi = stats.chi(z_dim).pdf(fine)
        axes.plot(fine, chi, **_EXPECTED, label=f"N(0, I): chi distribution, {z_dim} dimensions")
        axes.set(
            title="Distance of the z-points from the origin",
            xlabel="|z|",
            ylabel="density",
            ylim=(0, None),
        )
        axes.legend()


def plot_dimensions(
    path: Path, table: Mapping[str, NDArray[Any]], order: NDArray[np.intp], *, ranked_by: str
) -> None:
    """Plot deviations and KL of all dimensions.

    Args:
        path: the PNG file.
        table: what `latent.statistics.dimension_table` returns; without kl, that of the plain
            autoencoder, there are only the deviations of z, which are those of mu.
        order: the dimensions, strongest first.
        ranked_by: what the strongest have most of, for the label.
    """
    rank = np.arange(1, len(order) + 1)
    variational = "kl" in table
    with _figure(path) as figure:
        panels = figure.subplots(1 + variational, 1, sharex=True, squeeze=False).ravel()
        upper = panels[0]
        # Large and pale: where z and mu agree, or z and the noise, both can be seen.
        upper.plot(rank, table["std_z"][order], "o", color=_BLUE, alpha=0.4, label="z")
        if variational:
            upper.plot(rank, table["std_mu"][order], ".", color=_ORANGE, label="mu")
            noise = np.sqrt(table["posterior_variance"][order])
            upper.plot(rank, noise, ".", color=_GREEN, label="z around mu")
        upper.axhline(1, **_EXPECTED, label="N(0, 1)")
        upper.set(title="Standard deviation over the images", ylabel="deviation", ylim=(0, None))
        upper.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.7, 1.17))
        if variational:
            _plot_kl(panels[1], rank, table["kl"][order], table["active"][order])
        panels[-1].set_xlabel(f"dimension, by rank of its {ranked_by}")


def _plot_kl(
    axes: Axes, rank: NDArray[Any], kl: NDArray[np.float64], active: NDArray[np.bool_]
) -> None:
    axes.plot(rank[active], kl[active], ".", color=_PURPLE, label=f"active: {active.sum()}")
    axes.plot(rank[~active], kl[~active], "x", color=_GREY, label=f"not active: {(~active).sum()}")
    axes.set(
        title=f"KL from N(0, 1), {kl.sum():.1f} nats per image in all",
        ylabel="nats per image",
        ylim=(0, None),
    )
    axes.legend()


def plot_components(
    path: Path,
    table: Mapping[str, NDArray[np.float64]],
    dimensions: Sequence[int],
    *,
    ranked_by: str,
) -> None:
    """Plot histograms of single components of z against N(0, 1), as small multiples.

    Args:
        path: the PNG file.
        table: what `latent.statistics.component_table` returns.
        dimensions: the same as given there; at most twelve.
        ranked_by: what they have most of, for the title.
    """
    z = table["z"]
    fine = np.linspace(z[0], z[-1], _CURVE_POINTS)
    columns = min(4, len(dimensions))
    with _figure(path) as figure:
        panels = figure.subplots(
            -(-len(dimensions) // columns), columns, sharex=True, sharey=True, squeeze=False
        ).ravel()
        for axes in panels[len(dimensions) :]:
            axes.set_axis_off()
        for rank, (dimension, axes) in enumerate(zip(dimensions, panels, strict=False), start=1):
            density = table[f"component_{rank}"]
            axes.fill_between(z, density, step="mid", color=_BLUE, alpha=0.5, label="z")
            axes.plot(fine, stats.norm.pdf(fine), **_EXPECTED, label="N(0, 1)")
            axes.set_title(f"dimension {dimension}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
        figure.suptitle(
            f"Components of z with the largest {ranked_by}", x=0.01, ha="left", size="medium"
        )
        figure.supxlabel("value of the component", size="medium")
        figure.supylabel("density", size="medium")


def plot_eigenvalues(
    path: Path, eigenvalues: NDArray[np.float64], edges: tuple[float, float]
) -> None:
    """Plot the eigenvalues of the covariance of z against those of N(0, I).

    Args:
        path: the PNG file.
        eigenvalues: descending, (z_dim,).
        edges: the Marchenko-Pastur edges, between which those of samples of N(0, I) lie.
    """
    rank = np.arange(1, len(eigenvalues) + 1)
    with _figure(path) as figure:
        axes = figure.subplots()
        axes.axhspan(
            *edges,
            color="black",
            alpha=0.1,
            linewidth=0,
            label="samples of N(0, I) (Marchenko-Pastur)",
        )
        axes.axhline(1, **_EXPECTED, label="N(0, I)")
        axes.plot(rank, eigenvalues, ".", color=_BLUE, label="z-points")
        axes.set(
            title="Eigenvalues of the covariance of z",
            xlabel="rank",
            ylabel="variance along the axis",
            yscale="log",
        )
        for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatter(_PlainLogFormatter(labelOnlyBase=False))
        axes.legend(loc="lower left")


def plot_plane(path: Path, points: NDArray[np.floating[Any]], pair: tuple[int, int]) -> None:
    """Plot the density of z in the plane of two dimensions, with 1, 2 and 3 sigma ellipses.

    Args:
        path: the PNG file.
        points: the two components of z, (images, 2).
        pair: the numbers of the two dimensions, for the labels.
    """
    data = points.astype(np.float64)
    angle = np.linspace(0, 2 * np.pi, 201)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    values, directions = np.linalg.eigh(np.cov(data, rowvar=False, bias=True))
    ellipse = circle * np.sqrt(np.clip(values, 0, None)) @ directions.T
    with _figure(path, width=7.5) as figure:
        axes = figure.subplots()
        density = axes.hexbin(*data.T, gridsize=45, mincnt=1, cmap="Blues", linewidths=0)
        figure.colorbar(density, label="z-points in a cell")
        for sigma in (1, 2, 3):
            axes.plot(
                *(data.mean(axis=0) + sigma * ellipse).T,
                color=_ORANGE,
                label="z-points: 1, 2, 3 sigma" if sigma == 1 else None,
            )
            axes.plot(
                *(sigma * circle).T,
                **_EXPECTED,
                label="N(0, I): 1, 2, 3 sigma" if sigma == 1 else None,
            )
        axes.set(
            title="The two most correlated dimensions of z",
            xlabel=f"z in dimension {pair[0]}",
            ylabel=f"z in dimension {pair[1]}",
            aspect="equal",
        )
        axes.legend(loc="upper left")


class _PlainLogFormatter(LogFormatter):
    """Ticks as 0.6 and not as 6 x 10^-1, on the same places."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


@contextmanager
def _figure(path: Path, width: float = 9) -> Iterator[Figure]:
    # The user's own matplotlibrc must not change the bytes. No pyplot: it keeps global state.
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(width, 6), dpi=100, layout="constrained")
        yield figure
        with atomic_path(path) as temporary:
            # The name and version of matplotlib in the file would change its hash.
            figure.savefig(temporary, format="png", metadata={"Software": None})
