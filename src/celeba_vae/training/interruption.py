"""Ctrl-C and SIGTERM as requests that the training loop obeys when its state is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from celeba_vae.training.parallel import largest, leave_together


class StopRequest:
    """Whether, and by which signal, the process was asked to stop, or one that trains with it.

    Attributes:
        noted: the first signal that came to this process, 0 before.
        signal: the one that all processes know of, 0 before.
    """

    def __init__(self) -> None:
        self.noted = 0
        self.signal = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.noted = self.noted or number

    def asked(self) -> bool:
        """Return whether to stop: each process must call it, and gets the same answer."""
        self.signal = self.signal or largest(self.noted)
        return self.signal != 0

    def obey(self) -> None:
        """End as the signal would have ended the process: what is due must be saved before.

        Raises:
            KeyboardInterrupt: for Ctrl-C.
            SystemExit: for SIGTERM, with status 143.
        """
        leave_together()
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.signal)


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM during the block, instead of being ended by them."""
    request = StopRequest()
    before = {number: signal.signal(number, request.note) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
