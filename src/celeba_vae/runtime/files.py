"""Files written whole or not at all, and in the same bytes every time."""

import csv
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, and rename it to `path` when the block succeeds.

    The file's folder is made if missing. After an error or a kill there is no file, or the
    old one, under the final name; after an error the temporary file is removed as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, for libraries that choose the format by it.
    handle, name = tempfile.mkstemp(prefix=".part.", suffix=f".{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner may read; outputs follow the user's umask.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8 with LF line ends, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON: keys in the given order, floats in 6 significant digits.

    Six digits are what people read and what two machines can be expected to agree on; a final
    newline keeps other tools from rewriting the file, which DVC hashes. Raises ValueError on
    NaN and infinity, which JSON does not have.
    """
    write_text(path, json.dumps(_rounded(value), indent=2, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Any) -> None:
    """Write an array as .npy, or several by their names as .npz, by the ending of `path`."""
    # NumPy takes a tenth of a second to load, which the help of the command line need not wait for.
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".npz":
            # np.savez opens members whose size it does not know, and Python's patch versions write
            # other headers for those.
            with zipfile.ZipFile(file, "w") as archive:
                for name, array in arrays.items():
                    member = io.BytesIO()
                    np.save(member, array, allow_pickle=False)
                    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getbuffer())
        else:
            np.save(file, arrays, allow_pickle=False)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with commas, row by row; floats in 6 significant digits."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(_LineFeeds(file))
        table.writerow(header)
        table.writerows([_rounded(cell) for cell in row] for row in rows)


class _LineFeeds:
    """A file for csv.writer, which quotes a carriage return only where rows end with one."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table with tabs between the cells; floats in 6 significant digits."""
    lines = ["\t".join(header)]
    lines += ["\t".join(str(_rounded(cell)) for cell in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def check_room(folder: Path, needed: int) -> None:
    """Raise OSError (no space left) if the disk of `folder` has less than `needed` bytes free.

    For libraries that crash on a full disk instead of saying so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def reserve(path: Path, needed: int) -> None:
    """Raise OSError if a file cannot grow to `needed` bytes: for libraries that crash instead.

    Unlike `check_room` this knows of quotas and limits, and takes the room for a moment.
    """
    with path.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path.parent)) from None
        file.truncate(0)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rounded(value: Any) -> Any:
    # First what tables of 202,599 rows are full of.
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value
