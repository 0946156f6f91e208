"""Plots of energy distances from the z-points: of samplers, and of cubes of random points.

Each function returns a picture as PNG, in stable bytes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from celeba_vae.plots.canvas import (
    BLUE,
    EXPECTED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    PlainLogFormatter,
    as_png,
    canvas,
)

_SAMPLER_LOOKS = {
    "normal": (GREY, "s"),
    "gaussian": (BLUE, "o"),
    "gmm": (ORANGE, "^"),
    "ellipse": (GREEN, "D"),
}


def plot_samplers(choice: Mapping[str, Any]) -> bytes:
    """Plot the energy distance over temperature, and the held-out likelihood of the mixtures.

    Args:
        choice: what `latent.fitting.fit_samplers` returns beside the samplers.
    """
    temperatures = np.array(choice["temperatures"])
    with canvas(height=7) as figure:
        upper, lower = figure.subplots(2, 1)
        for name, found in choice["validation"].items():
            upper.plot(temperatures, found["curve"], color=_SAMPLER_LOOKS[name][0])
        _reference(upper, choice["floor"], "training z-points", **EXPECTED)
        upper.set(
            title="How far the draws are from the validation z-points",
            xlabel="temperature",
            ylabel="energy distance (unit of z)",
        )
        _logarithmic(upper, [found["curve"] for found in choice["validation"].values()])
        bottom, _ = upper.get_ylim()
        upper.set_ylim(bottom, None)
        for name, found in choice["validation"].items():
            colour, marker = _SAMPLER_LOOKS[name]
            best, distance = found["temperature"], found["energy_distance"]
            upper.plot(
                best,
                max(distance, bottom),  # what is not above 0 stands on the axis
                marker,
                color=colour,
                markersize=8,
                clip_on=False,
                label=f"{name}: {_shown(distance)} at temperature {best:g}",
            )
        handles, labels = upper.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", fontsize="small")
        for axes_name, colour, label in (
            ("own", PURPLE, "along the dimensions of z"),
            ("principal", BLUE, "along the principal axes"),
        ):
            tried = [each for each in choice["mixtures"] if each["axes"] == axes_name]
            lower.plot(
                [each["components"] for each in tried],
                [each["log_likelihood"] for each in tried],
                "o-",
                color=colour,
                label=label,
            )
        lower.set_xscale("log", base=2)
        counts = sorted({each["components"] for each in choice["mixtures"]})
        lower.set_xticks(counts, [str(count) for count in counts])
        lower.set(
            title="Mixtures: likelihood of validation z-points",
            xlabel="components",
            ylabel="nats per z-point (more is better)",
        )
        lower.legend()
        return as_png(figure)


def plot_cube(scan: Mapping[str, Any], references: Mapping[str, float]) -> bytes:
    """Plot the energy distance of uniform cubes from the z-points over the cubes' size.

    Args:
        scan: what `zpoints.region.scan_cubes` returns.
        references: energy distances of other clouds from the z-points, by their labels.
    """
    with canvas(height=5) as figure:
        axes = figure.subplots()
        axes.plot(scan["b"], scan["energy_distances"], color=BLUE, label="uniform in [-b, b]")
        axes.plot(
            scan["best_b"],
            scan["best_energy_distance"],
            "o",
            color=BLUE,
            markersize=8,
            label=f"best: b = {scan['best_b']:.2f}",
        )
        axes.axvline(
            scan["radius_b"], **EXPECTED, label=f"same mean |z|^2: b = {scan['radius_b']:.2f}"
        )
        looks = ({"color": GREY, "linestyle": "-."}, {"color": ORANGE, "linestyle": ":"})
        for (label, value), look in zip(references.items(), looks, strict=True):
            _reference(axes, value, label, **look)
        axes.set(
            title="Uniform cubes: how far from the training z-points",
            xlabel="b, half the side of the cube (unit of z)",
            ylabel="energy distance (unit of z)",
        )
        _logarithmic(axes, scan["energy_distances"])
        figure.legend(loc="outside lower center")
        return as_png(figure)


def _reference(axes: Axes, value: float, label: str, **look: Any) -> None:
    # An estimate of 0 may be below it, which a logarithmic axis cannot show: then only as text.
    place: Any = value if value > 0 else np.nan
    axes.plot([0, 1], [place, place], transform=axes.get_yaxis_transform(), **look)
    axes.plot([], [], **look, label=f"{label}: {_shown(value)}")


def _shown(distance: float) -> str:
    return f"{distance:.3g}" if distance > 0 else "0 (not above chance)"


def _logarithmic(axes: Axes, distances: Any) -> None:
    # Where none is above chance there is no logarithm to show.
    if np.max(distances) <= 0:
        return
    axes.set_yscale("log", nonpositive="mask")
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter(PlainLogFormatter(labelOnlyBase=False))
