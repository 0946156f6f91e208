"""Progress bars on stderr, all alike."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, *, label: str, unit: str, done: int = 0) -> "tqdm[Any]":
    """Return a bar that counts `unit` up to `total`, with rate and time left, on stderr.

    It starts at `done`, which an earlier process has counted already.
    Where stderr is a file, as in a CI log, it prints a line every ten seconds, not ten a second.
    """
    interval = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=f" {unit}",
        mininterval=interval,
        maxinterval=interval,
        smoothing=0.1,
        dynamic_ncols=True,
    )
