"""Plots of planes through a cloud of z-points: density, ellipses, attributes.

Each function returns a picture as PNG, in stable bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from celeba_vae.plots.canvas import BLUE, EXPECTED, GREY, ORANGE, as_png, canvas, headline

_CONFIDENCES = (0.5, 0.9, 0.99)
_BINS = 50


def plot_planes(
    points: NDArray[Any],
    pairs: Sequence[tuple[int, int]],
    correlations: Sequence[float],
) -> bytes:
    """Plot density contours of z in the planes of pairs of dimensions, with confidence ellipses.

    The contours, of a histogram smoothed with a normal kernel, hold 50, 90 and 99 % of the
    points; the ellipses those shares of the normal distribution with the same covariance.

    Args:
        points: z, (images, z_dim).
        pairs: the pairs of dimensions; at most six.
        correlations: of each pair, for the titles.
    """
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    with canvas(width=9, height=1 + 3 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(pairs) :]:
            axes.set_axis_off()
        for pair, value, axes in zip(pairs, correlations, panels, strict=False):
            _density(axes, points[:, list(pair)].astype(np.float64))
            axes.set(
                title=f"correlation {value:+.2f}",
                xlabel=f"z in dimension {pair[0]}",
                ylabel=f"z in dimension {pair[1]}",
            )
        headline(figure, "The pairs of dimensions of z that correlate most")
        _share_legend(figure)
        return as_png(figure)


def plot_principal(planes: Mapping[str, NDArray[Any]]) -> bytes:
    """Plot one plane through the cloud in several coordinates, side by side.

    Args:
        planes: points (images, 2), by a title of two lines: the second says what the axes are.
    """
    with canvas(width=11, height=5) as figure:
        panels = figure.subplots(1, len(planes))
        for (title, points), axes in zip(planes.items(), panels, strict=True):
            name, _, unit = title.partition("\n")
            _density(axes, points.astype(np.float64))
            first, _, second = unit.partition(" | ")
            axes.set(title=name, xlabel=first, ylabel=second)
        headline(figure, "Principal component analysis of z")
        _share_legend(figure)
        return as_png(figure)


def plot_attributes(
    points: NDArray[Any],
    attributes: Mapping[str, NDArray[np.bool_]],
    *,
    title: str,
    axis_labels: tuple[str, str],
) -> bytes:
    """Plot points of a plane, coloured by whether the image has an attribute, a panel for each.

    Args:
        points: (images, 2).
        attributes: (images,) each, by name; at most eight.
        title: of the whole.
        axis_labels: what the two coordinates are, with their unit.
    """
    columns = min(4, len(attributes))
    rows = -(-len(attributes) // columns)
    with canvas(width=11, height=1 + 2.9 * rows) as figure:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes in panels[len(attributes) :]:
            axes.set_axis_off()
        for axes in panels[: len(attributes)][-columns:]:
            axes.tick_params(labelbottom=True)  # also where the panel below is empty
        for (name, has), axes in zip(attributes.items(), panels, strict=False):
            for mask, colour in ((~has, BLUE), (has, ORANGE)):
                axes.scatter(*points[mask].T, s=4, color=colour, alpha=0.5, linewidths=0)
            axes.set_title(f"{name.replace('_', ' ')}, {has.mean():.0%}")
        headline(figure, title)
        figure.supxlabel(axis_labels[0], size="medium")
        figure.supylabel(axis_labels[1], size="medium")
        handles = [Patch(color=ORANGE, label="has it"), Patch(color=BLUE, label="has it not")]
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
        return as_png(figure)


def levels_holding(counts: NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Return the levels, ascending, at which contours of a histogram hold these shares of it.

    Of all areas that hold a share, the inside of a contour is the smallest, for it is the densest.
    """
    dense = np.sort(counts, axis=None)[::-1]
    held = np.cumsum(dense) / dense.sum()
    return sorted(float(dense[np.searchsorted(held, share)]) for share in shares)


def _density(axes: Axes, points: NDArray[np.float64]) -> None:
    mean = points.mean(axis=0)
    covariance = np.cov(points, rowvar=False, bias=True)
    # The same on both axes: the panels are squares, and a circle looks like one.
    reach = 1.1 * max(3.2, float(np.abs(points).max()))
    axes.scatter(points[:4000, 0], points[:4000, 1], s=2, color=GREY, alpha=0.4, linewidths=0)
    edges = np.linspace(-reach, reach, _BINS + 1)
    counts = gaussian_filter(
        np.histogram2d(points[:, 0], points[:, 1], bins=[edges, edges])[0], sigma=1.5
    )
    levels = levels_holding(counts, _CONFIDENCES)
    if len(np.unique(levels)) == len(levels) and levels[0] > 0:
        centres = (edges[:-1] + edges[1:]) / 2
        axes.contour(centres, centres, counts.T, levels=levels, colors=BLUE, linewidths=1.2)
    angle = np.linspace(0, 2 * np.pi, 201)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    values, directions = np.linalg.eigh(covariance)
    ellipse = circle * np.sqrt(np.clip(values, 0, None)) @ directions.T
    for confidence in _CONFIDENCES:
        # The squared radius of two normal dimensions is exponentially distributed.
        radius = np.sqrt(-2 * np.log(1 - confidence))
        axes.plot(*(mean + radius * ellipse).T, color=ORANGE, linewidth=1.2)
        axes.plot(*(radius * circle).T, **EXPECTED | {"linewidth": 0.9})
    axes.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))


def _share_legend(figure: Any) -> None:
    shares = ", ".join(f"{share:.0%}" for share in _CONFIDENCES)
    handles = [
        Patch(edgecolor=BLUE, facecolor="none", label=f"hold {shares} of z"),
        Patch(edgecolor=ORANGE, facecolor="none", label="the same for a fitted normal"),
        Patch(edgecolor="black", facecolor="none", linestyle="--", label="for N(0, I)"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
