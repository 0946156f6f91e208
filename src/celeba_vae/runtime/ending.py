"""The end of a program: one line for what a user or the system did, whatever the streams are."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from celeba_vae.runtime.errors import UserError, printable, reason_of


@contextmanager
def ending_in_one_line() -> Iterator[None]:
    """End the process with one line on stderr and status 1 where the block raises UserError.

    So it does on an OSError: a full disk, a folder that cannot be written, or nobody who takes
    what is printed.
    """
    open_standard_streams()
    try:
        try:
            yield
        finally:
            _flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {printable(f'{place}{reason_of(error)}')}")


def open_standard_streams() -> None:
    """Open /dev/null in place of each standard stream that the caller has closed (`2>&-`).

    The next file that is opened would get its number, and then what libraries say on stderr.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try once more at its end, and complain in lines of its own.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        raise OSError(error.errno, os.strerror(error.errno or 0), "standard output") from None
