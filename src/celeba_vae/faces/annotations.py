"""CelebA's annotation files, official text or Kaggle's csv, read into tables by file name."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from celeba_vae.faces.layout import (
    ATTRIBUTES_FILE,
    FACTORS_FILE,
    IDENTITY_FILE,
    PARTITION_FILE,
    SPLITS,
)
from celeba_vae.runtime.errors import UserError, printable, reason_of

Value = TypeVar("Value")

# The files that may stand beside the archive. Of one kind the first that is there is read: the
# official text goes before a csv made of it.
ATTRIBUTES_FILES = (ATTRIBUTES_FILE, "list_attr_celeba.csv")
PARTITION_FILES = (PARTITION_FILE, "list_eval_partition.csv")
IDENTITY_FILES = (IDENTITY_FILE, "identity_CelebA.csv")
FACTORS_FILES = (FACTORS_FILE,)
ANNOTATION_FILES = (ATTRIBUTES_FILES, PARTITION_FILES, IDENTITY_FILES, FACTORS_FILES)

# More digits than any number of rows or of a person has; Python reads 4,300 at most.
_LONGEST_NUMBER = 18

# Kaggle's name of the first column, and ours.
_NAME_COLUMNS = ("image_id", "file_name")

_SIGNS = {"1": 1, "+1": 1, "-1": -1}
_SPLIT_NUMBERS = {str(number): number for number in range(len(SPLITS))}


@dataclass(frozen=True)
class Annotations:
    """What is known of the images, each kind by file name; None where there is no such file.

    Attributes:
        attribute_names: the columns of `attributes`; empty if there are none.
        attributes: 1 (has it) or -1 (has not) for each attribute.
        partition: the index into layout.SPLITS.
        identity: the number of the person.
        factor_names: the columns of `factors`; empty if there are none.
        factors: the true factors of a drawn face, as the text that stands in the file.
    """

    attribute_names: tuple[str, ...]
    attributes: dict[str, tuple[int, ...]] | None
    partition: dict[str, int] | None
    identity: dict[str, int] | None
    factor_names: tuple[str, ...]
    factors: dict[str, tuple[str, ...]] | None

    def tables(self) -> dict[str, Mapping[str, object]]:
        """Return the kinds that are known, by the name of the kind."""
        kinds: dict[str, Mapping[str, object] | None] = {
            "attributes": self.attributes,
            "partition": self.partition,
            "identity": self.identity,
            "factors": self.factors,
        }
        return {kind: rows for kind, rows in kinds.items() if rows is not None}


def read_annotations(
    folder: Path, *, is_free: Callable[[str], bool] = lambda name: True
) -> Annotations:
    """Read the annotation files of `folder`, as many as there are.

    The official text files (CRLF or LF line ends, any number of spaces) and csv files with a
    header (`image_id,...`) are understood. A count in the first line that is not the number of
    rows is reported on stderr and otherwise ignored.

    Args:
        folder: of the files.
        is_free: whether an attribute may have a name, given in lower case, or it is taken for
            something else where the attributes are going to stand.

    Raises:
        UserError: a malformed line, a duplicated row, or a name or value that is not allowed, with
            the file and the number of the line.
    """
    attributes = identity = partition = factors = None
    attribute_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    if path := _first(folder, ATTRIBUTES_FILES):
        attribute_names, attributes = _attributes(path, is_free)
    if path := _first(folder, PARTITION_FILES):
        partition = _keyed(path, _plain_lines(path), 1, _split_number)
    if path := _first(folder, IDENTITY_FILES):
        identity = _keyed(path, _plain_lines(path), 1, _person)
    if path := _first(folder, FACTORS_FILES):
        factor_names, lines = _csv_lines(path)
        factors = _keyed(path, lines, len(factor_names), tuple)
    return Annotations(attribute_names, attributes, partition, identity, factor_names, factors)


# A line's number, counted from 1, and its cells, the file name first.
_Line = tuple[int, list[str]]


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _attributes(
    path: Path, is_free: Callable[[str], bool]
) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """Read an attribute file: csv, or text with the count, the titles and then the rows."""
    if path.suffix == ".csv":
        titles, lines = _csv_lines(path)
        _check_free(path, titles, is_free)
        return titles, _keyed(path, lines, len(titles), _signs)
    lines = _text_lines(path)
    _, first = next(lines, (1, []))
    if len(first) != 1 or not _is_number(first[0]):
        raise UserError(f"{path}, line 1: must be the number of rows, not {' '.join(first)[:60]!r}")
    number, cells = next(lines, (2, []))
    titles = _checked_titles(path, number, cells)
    _check_free(path, titles, is_free)
    rows = _keyed(path, lines, len(titles), _signs)
    if len(rows) != int(first[0]):
        tqdm.write(
            printable(
                f"{path}, line 1: announces {first[0]} rows, but there are {len(rows)}; "
                "all of these are used"
            ),
            file=sys.stderr,
        )
    return titles, rows


def _check_free(path: Path, titles: Iterable[str], is_free: Callable[[str], bool]) -> None:
    for title in titles:
        if not is_free(title.lower()):
            raise UserError(
                f"{path}: an attribute is called {title[:60]!r}, which is the name of something "
                "else in the index of the images; give it another name"
            )


def _plain_lines(path: Path) -> Iterator[_Line]:
    """Return the lines of a file with one value for each image: csv with a header, or rows."""
    if path.suffix != ".csv":
        return _text_lines(path)
    titles, lines = _csv_lines(path)
    if len(titles) != 1:
        raise UserError(f"{path}, line 1: must have 2 columns, not {len(titles) + 1}")
    return lines


def _text_lines(path: Path) -> Iterator[_Line]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if cells := line.split():
                    yield number, cells
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {reason_of(error)}") from None


def _csv_lines(path: Path) -> tuple[tuple[str, ...], Iterator[_Line]]:
    lines = _csv_rows(path)
    number, titles = next(lines, (1, [""]))
    if titles[0] not in _NAME_COLUMNS:
        raise UserError(
            f"{path}, line {number}: the first column must be called "
            f"{' or '.join(_NAME_COLUMNS)}, not {titles[0][:60]!r}"
        )
    return _checked_titles(path, number, titles[1:]), lines


def _csv_rows(path: Path) -> Iterator[_Line]:
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                number = reader.line_num
                if row:
                    yield number, [cell.strip() for cell in row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path}, after line {number}: cannot be read: {reason_of(error)}"
        ) from None


def _checked_titles(path: Path, number: int, titles: list[str]) -> tuple[str, ...]:
    if not titles or "" in titles or len(set(titles)) != len(titles):
        raise UserError(f"{path}, line {number}: must name each column, and each only once")
    return tuple(titles)


def _keyed(
    path: Path, lines: Iterator[_Line], columns: int, parse: Callable[[list[str]], Value]
) -> dict[str, Value]:
    """Return the rows by file name; `parse` raises ValueError where a value is not allowed."""
    rows: dict[str, Value] = {}
    for number, (name, *cells) in lines:
        if len(cells) != columns:
            raise UserError(
                f"{path}, line {number}: must have a file name and {columns} "
                f"value{'s' if columns > 1 else ''}, but has {len(cells) + 1} cells"
            )
        if name in rows:
            raise UserError(f"{path}, line {number}: {name[:200]} has a row already")
        try:
            rows[name] = parse(cells)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
    if not rows:
        raise UserError(f"{path}: has no rows")
    return rows


def _signs(cells: list[str]) -> tuple[int, ...]:
    try:
        return tuple([_SIGNS[cell] for cell in cells])
    except KeyError as error:
        raise ValueError(f"an attribute must be 1 or -1, not {error.args[0][:60]!r}") from None


def _split_number(cells: list[str]) -> int:
    if cells[0] not in _SPLIT_NUMBERS:
        raise ValueError(f"a partition must be 0, 1 or 2, not {cells[0][:60]!r}")
    return _SPLIT_NUMBERS[cells[0]]


def _person(cells: list[str]) -> int:
    if not _is_number(cells[0]):
        raise ValueError(f"an identity must be a whole number from 0, not {cells[0][:60]!r}")
    return int(cells[0])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
