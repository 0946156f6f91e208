"""Plots of a training: losses by epoch, and the KL loss of each dimension.

Each function returns a picture as PNG, in stable bytes.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from celeba_vae.plots.canvas import BLUE, ORANGE, as_png, canvas

_SHOWN_EPOCHS = 4


def plot_losses(history: Mapping[str, NDArray[np.float64]], parts: Mapping[str, str]) -> bytes:
    """Plot losses of training and validation over the epochs, a panel each.

    Args:
        history: (epochs,) by column: `epoch`, each loss, and the same with `val_` before it.
        parts: the titles of the panels, by the column of the loss.
    """
    with canvas(height=0.6 + 1.4 * len(parts)) as figure:
        panels = figure.subplots(len(parts), 1, sharex=True, squeeze=False).ravel()
        for (column, title), axes in zip(parts.items(), panels, strict=True):
            axes.plot(history["epoch"], history[column], "o-", color=BLUE, label="training")
            axes.plot(
                history["epoch"], history[f"val_{column}"], "o-", color=ORANGE, label="validation"
            )
            axes.set(title=title, ylabel="nats per image")
        panels[0].legend()
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        return as_png(figure)


def plot_kl_by_epoch(kl: NDArray[np.float64]) -> bytes:
    """Plot the KL loss of the dimensions by rank, for the first, the last and epochs between.

    Args:
        kl: (epochs, z_dim), nats per image.
    """
    epochs = np.unique(np.linspace(0, len(kl) - 1, _SHOWN_EPOCHS).round().astype(int))
    rank = np.arange(1, kl.shape[1] + 1)
    with canvas(height=4.8) as figure:
        axes = figure.subplots()
        # The light end of the map could hardly be seen on white.
        for epoch, shade in zip(epochs, np.linspace(0.85, 0, len(epochs)), strict=True):
            label = f"epoch {epoch + 1}: {kl[epoch].sum():.1f} in all"
            colour = colormaps["viridis"](shade)
            axes.plot(rank, np.sort(kl[epoch])[::-1], color=colour, label=label)
        axes.set(
            title="KL from N(0, 1) of each dimension, validation images",
            xlabel="dimension, by rank of its KL in that epoch",
            ylabel="nats per image",
            ylim=(0, None),
        )
        axes.legend()
        return as_png(figure)
