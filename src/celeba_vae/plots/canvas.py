"""Canvas of all plots: colours, looks, and PNG in stable bytes.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart; what is
expected is black and dashed everywhere.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
GREY = "#999999"
SPLIT_COLOURS = (BLUE, ORANGE, GREEN)
EXPECTED: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}
CURVE_POINTS = 400

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


@contextmanager
def canvas(*, width: float = 6, height: float = 4) -> Iterator[Figure]:
    """Give an empty figure of that size in inches, within the looks of all plots.

    Pictures have at least 900 pixels across: those of 6 inches, whose text is large in them, can
    be read on a phone. Plots of many panels need 9 or more.
    """
    # The user's own matplotlibrc must not change the bytes. No pyplot: it keeps global state.
    with style.context(["default", _STYLE]):
        yield Figure(figsize=(width, height), dpi=max(900 / width, 100), layout="constrained")


def as_png(figure: Figure) -> bytes:
    """Return the figure of a `canvas` as PNG; to be called inside the block."""
    content = io.BytesIO()
    # The name and version of matplotlib in the file would change its hash.
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def headline(figure: Figure, text: str) -> None:
    """Put a title above all panels, on the left as those of single plots."""
    figure.suptitle(text, x=0.01, ha="left", size="medium")


class PlainLogFormatter(LogFormatter):
    """Ticks as 0.6 and not as 6 x 10^-1, on the same places."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of the tick at x, or none."""
        return f"{x:g}" if super().__call__(x, pos) else ""
