"""Plot of the memory that a step of training needs."""

from collections.abc import Mapping

import numpy as np

from celeba_vae.plots.canvas import BLUE, EXPECTED, GREEN, GREY, ORANGE, PURPLE, as_png, canvas

_GB = 1e9


def plot_memory(
    bars: Mapping[str, Mapping[str, float]],
    by_batch: Mapping[int, float],
    line: tuple[float, float],
) -> bytes:
    """Plot the parts of each configuration's memory, and memory over the batch size, as PNG.

    Args:
        bars: the parts of each configuration in bytes, by their names, from the left; the same
            parts for each, five at most.
        by_batch: measured bytes by batch size.
        line: bytes for each image, and without any, that the sizes of the shapes give:
            plotted beside what was measured.
    """
    with canvas(width=11, height=6 + 0.3 * len(bars)) as figure:
        upper, lower = figure.subplots(2, 1, height_ratios=(2 + len(bars), 12))
        left = np.zeros(len(bars))
        parts = list(next(iter(bars.values())))
        for part, colour in zip(parts, (BLUE, GREEN, ORANGE, PURPLE, GREY), strict=False):
            widths = np.array([parts_of[part] for parts_of in bars.values()]) / _GB
            upper.barh(list(bars), widths, left=left, color=colour, label=part)
            left += widths
        upper.margins(y=0.5 / len(bars))
        upper.invert_yaxis()
        upper.set(title="Peak of a step of training", xlabel="memory (GB)")
        # Outside, where no bar can be behind it; the figure makes room for it.
        handles, labels = upper.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(parts), fontsize="small")
        sizes = np.array(list(by_batch))
        lower.plot(sizes, np.array(list(by_batch.values())) / _GB, "o-", color=BLUE, label="peak")
        each, base = line
        lower.plot(sizes, (base + each * sizes) / _GB, **EXPECTED, label="counted from the shapes")
        lower.set(
            title="Memory by batch size",
            xlabel="images in a batch",
            ylabel="memory (GB)",
            xlim=(0, None),
            ylim=(0, None),
        )
        lower.legend(loc="upper left")
        return as_png(figure)
