"""Progress bars on stderr, all alike."""

import sys
from typing import IO, Any

from tqdm import tqdm


def progress_bar(total: int, *, label: str, unit: str, done: int = 0) -> "tqdm[Any]":
    """Return a bar that counts `unit` up to `total`, with rate and time left, on stderr.

    It starts at `done`, which an earlier process has counted already. What is done within a second
    shows none. Where stderr is a file, as in a CI log, it prints a line every ten seconds.
    """
    terminal = sys.stderr.isatty()
    interval = 0.1 if terminal else 10.0
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=f" {unit}",
        mininterval=interval,
        maxinterval=interval,
        smoothing=0.1,
        dynamic_ncols=terminal,
        delay=max(1.0, interval),
        file=sys.stderr if terminal else _Lines(sys.stderr),
        # Always so many a second: of slow things tqdm's own form says `s/ steps`.
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, "
        "{rate_noinv_fmt}{postfix}]"
        if terminal
        else "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]",
    )


class _Lines:
    """A stream that ends each state of a bar with a line's end, instead of writing over it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        for state in text.split("\r"):
            if state.strip():
                self._stream.write(f"{state.strip()}\n")

    def flush(self) -> None:
        self._stream.flush()
