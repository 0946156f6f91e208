"""Strict reading of files that the stages wrote: whole, regular, of the kind that they should be.

Whatever a file holds instead, it ends in one line with its name and a remedy, and nothing more than
the file's own size is taken of memory: what a header says is believed only if the file is as long.
"""

import csv
import io
import json
import math
import os
import stat
import struct
import tokenize
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from celeba_vae.runtime.errors import UserError, reason_of

if TYPE_CHECKING:  # It takes a tenth of a second, which `celeba-vae --help` need not wait for.
    import numpy as np

# What Python and NumPy raise on a file that is something else than it should be.
_JUNK = (
    *(ValueError, TypeError, KeyError, EOFError, OverflowError, RecursionError, MemoryError),
    *(NotImplementedError, SyntaxError, RuntimeError, tokenize.TokenError, struct.error),
    *(csv.Error, zipfile.BadZipFile, UserWarning),
)
# More than any text that is read as a whole.
_LONGEST_TEXT = 100_000_000


class _Unlike(ValueError):
    """A file that is not what it says; in words."""


class Rows(NamedTuple):
    """A table: the names of its columns, and as many cells in each row."""

    header: list[str]
    rows: list[list[str]]


@contextmanager
def reading(path: Path, *, kind: str, fix: str) -> Iterator[io.BufferedReader]:
    """Open a regular file for the block; what goes wrong in it is the file's fault.

    Args:
        path: the file.
        kind: what it should be, for the message.
        fix: what to do where it is not, for the message.

    Raises:
        UserError: there is no such file; it is a folder, a pipe or a device, which might give no
            end; it cannot be read; or the block found it to be something else.
    """
    try:
        # Without waiting for somebody to write into a pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{path}: is no regular file; {fix}")
            yield file
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {fix}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file; {fix}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{path}: is not JSON, from {place} on; {fix}") from None
    except OSError as error:
        # Libraries raise it of contents as well, then without a number.
        wrong = (
            f"cannot be read: {reason_of(error)}" if error.errno else f"is damaged, or not {kind}"
        )
        raise UserError(f"{path}: {wrong}; {fix}") from None
    except _Unlike as error:
        raise UserError(f"{path}: {error}; {fix}") from None
    except _JUNK:
        raise UserError(f"{path}: is damaged, or not {kind}; {fix}") from None


def read_object(path: Path, *, fix: str) -> dict[str, Any]:
    """Return the JSON object in a file; it holds no NaN or infinity.

    Raises:
        UserError: as `reading`.
    """
    kind = "a JSON object with finite values"
    with reading(path, kind=kind, fix=fix) as file:
        value = json.loads(_text(file), parse_constant=_refused, parse_float=_finite)
        if not isinstance(value, dict):
            raise ValueError
    return value


def read_tsv(path: Path, *, fix: str) -> Rows:
    """Return the table that `files.write_tsv` wrote.

    Raises:
        UserError: as `reading`; a row is longer or shorter than the header, or the end is missing.
    """
    with reading(path, kind="a table", fix=fix) as file:
        *lines, rest = _text(file).split("\n")
        header, *rows = (line.split("\t") for line in lines)
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header):
                raise UserError(
                    f"{path}, line {number}: {len(row)} cells, the header has {len(header)}; {fix}"
                )
        if rest or not all(header):
            raise ValueError
    return Rows(header, rows)


def read_array(path: Path, *, fix: str) -> "np.ndarray":
    """Return the array in a .npy file: of numbers or texts, never of pickled objects.

    Raises:
        UserError: as `reading`.
    """
    import numpy as np

    with reading(path, kind="an array", fix=fix) as file:
        _check_array(file, size_of(file))
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def map_array(path: Path, *, fix: str) -> "np.memmap[Any, Any]":
    """Return the array in a .npy file, as `read_array`, mapped into memory instead of read.

    Raises:
        UserError: as `reading`.
    """
    import numpy as np

    with reading(path, kind="an array", fix=fix) as file:
        _check_array(file, size_of(file))
        return np.lib.format.open_memmap(path, mode="r")


def read_arrays(path: Path, *, fix: str) -> "dict[str, np.ndarray]":
    """Return the arrays in a .npz file by their names, as `read_array`; they are not compressed.

    Raises:
        UserError: as `reading`.
    """
    import numpy as np

    arrays = {}
    with reading(path, kind="arrays", fix=fix) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > size_of(file):
            raise ValueError
        for member in members:
            with archive.open(member) as content:
                _check_array(content, member.file_size)
            with archive.open(member) as content:
                array = np.lib.format.read_array(content, allow_pickle=False)
            arrays[member.filename.removesuffix(".npy")] = array
    return arrays


def _check_array(file: IO[bytes], size: int) -> None:
    """Raise ValueError where the header of a .npy file says more or less than the file holds."""
    import numpy as np

    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of headers that it has to guess at.
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    held = math.prod(shape) * dtype.itemsize
    if dtype.kind not in "biufU" or not dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError
    if held != size - file.tell():
        raise _Unlike(f"holds {size - file.tell():,} bytes of values, its header says {held:,}")


def size_of(file: IO[bytes]) -> int:
    """Return how many bytes an open file has."""
    return os.fstat(file.fileno()).st_size


def _text(file: IO[bytes]) -> str:
    content = file.read(_LONGEST_TEXT + 1)
    if len(content) > _LONGEST_TEXT:
        raise ValueError
    return content.decode("utf-8")


def _refused(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)
