"""Plots of what can be read off mu: attributes, and the true factors of synthetic faces.

Each function returns a picture as PNG, in stable bytes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from celeba_vae.plots.canvas import BLUE, EXPECTED, as_png, canvas

# Dimensions in the heat map: more would be too small to read.
_SHOWN_DIMENSIONS = 24


def plot_probes(aucs: Mapping[str, float]) -> bytes:
    """Plot the AUC of each attribute's probe as horizontal bars, the best on top.

    Args:
        aucs: the area under the ROC curve on test images by attribute. Without any the picture
            says so: DVC's page of plots complains of a folder without pictures.
    """
    names = sorted(aucs, key=lambda name: aucs[name])
    values = [aucs[name] for name in names]
    with canvas(height=1.3 + 0.24 * len(names)) as figure:
        if not names:
            figure.text(
                0.02, 0.5, "No probe: no attribute is known, or too few images have it or lack it."
            )
            return as_png(figure)
        axes = figure.subplots()
        # From 0.5, so that a bar shows what the probe knows; to the left it is worse than guessing.
        bars = axes.barh(names, np.array(values) - 0.5, left=0.5, color=BLUE)
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=4, fontsize=9)
        axes.axvline(0.5, **EXPECTED, label="guessing")
        axes.set(
            title="Attributes read off mu, test images",
            xlabel="area under the ROC curve",
            xlim=(min(0.4, min(values) - 0.1), 1.05),
            ylim=(-0.8, len(names) - 0.2),
        )
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="lower right")
        return as_png(figure)


def plot_factors(names: Sequence[str], shares: NDArray[np.float64]) -> bytes:
    """Plot which true factor sits in which dimensions, as a heat map.

    Args:
        names: the factors.
        shares: (factors, z_dim), mutual information divided by the factor's entropy, 0 to 1.
    """
    factors = np.argsort(-shares.max(axis=1), kind="stable")
    # The best dimension of each factor, in the order of the factors: a staircase where every
    # factor has one of its own.
    best = shares[factors].argmax(axis=1).tolist()
    dimensions = list(dict.fromkeys(best))[:_SHOWN_DIMENSIONS]
    with canvas(width=9, height=1.6 + 0.22 * len(names)) as figure:
        axes = figure.subplots()
        image = axes.imshow(
            shares[np.ix_(factors, dimensions)], cmap="cividis", vmin=0, aspect="auto"
        )
        axes.set(
            title="Where the true factors sit",
            xlabel="dimension of mu: the best one for each factor, from the top",
            ylabel="true factor",
            xticks=range(len(dimensions)),
            yticks=range(len(names)),
        )
        axes.set_xticklabels([str(d) for d in dimensions], rotation=90, fontsize=9)
        axes.set_yticklabels([names[f] for f in factors], fontsize=9)
        figure.colorbar(image, label="mutual information / entropy of the factor")
        return as_png(figure)
