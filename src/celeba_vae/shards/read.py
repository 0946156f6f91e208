"""Shards as memory maps (`Split`), their manifest, and their index `images.csv`."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from celeba_vae.params import Filter
from celeba_vae.runtime.arrays import Pixels
from celeba_vae.runtime.errors import UserError, first_problem
from celeba_vae.runtime.reading import map_array, read_object, reading

MANIFEST_FILE = "manifest.json"
INDEX_FILE = "images.csv"

# The columns that every index has. The attributes follow, 1 or -1, by their names, and then, for
# drawn faces, the true factors behind a prefix.
INDEX_COLUMNS = ("row", "shard", "offset", "file_name", "split", "identity")
FACTOR_PREFIX = "factor_"

# The cells of an attribute: has it, has it not.
_SIGNS = frozenset(("1", "-1"))

# Images in memory at once, unless asked otherwise: 14 MB at 96 pixels.
BLOCK = 512

_FIX = "run `dvc repro prepare`"


class _Entry(BaseModel):
    """Part of the manifest; numbers are not texts."""

    model_config = ConfigDict(strict=True)


class _ShardEntry(_Entry):
    file: str
    images: Annotated[int, Field(ge=1)]
    sha256: str


class _SplitEntry(_Entry):
    images: Annotated[int, Field(ge=1)]
    shards: Annotated[list[_ShardEntry], Field(min_length=1)]


class _SourceEntry(_Entry):
    source: str


class _Manifest(_Entry):
    """The part of the manifest that readers rely on; there is more in it for people."""

    source: _SourceEntry
    image_shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]
    crop: int | None
    filter: Filter
    splits: dict[str, _SplitEntry]


@dataclass(frozen=True)
class Split:
    """The images of one split, mapped from its shards.

    Attributes:
        shards: uint8 arrays (n_i, size, size, 3).
        starts: the first row of each shard, and at the end the number of images.
    """

    shards: tuple[Pixels, ...]
    starts: np.ndarray

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        _, height, width, channels = self.shards[0].shape
        return height, width, channels

    def take(self, rows: np.ndarray) -> Pixels:
        """Return a copy of the images of these rows of the split, in this order.

        Args:
            rows: integers (n,), in any order, also repeated.

        Returns:
            uint8 (n, size, size, 3).

        Raises:
            IndexError: a row is negative, or not below the number of images.
        """
        if len(rows) and not 0 <= np.min(rows) <= np.max(rows) < len(self):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}")
        images = np.empty((len(rows), *self.image_shape), np.uint8)
        places = np.searchsorted(self.starts, rows, side="right") - 1
        offsets = (rows - self.starts[places]).tolist()
        # One copy an image, straight to its place: indexing with arrays would copy all twice.
        for image, place, offset in zip(images, places.tolist(), offsets, strict=True):
            image[...] = self.shards[place][offset]
        return images

    def blocks(
        self, rows: np.ndarray | None = None, *, size: int = BLOCK
    ) -> Iterator[tuple[np.ndarray, Pixels]]:
        """Yield the images block by block, so that no more than `size` are in memory.

        Args:
            rows: integers (n,), see `take`; None for all images in their order.
            size: images in a block, but for the last.

        Yields:
            The rows of a block, (at most size,), and its images, uint8 (rows, height, width, 3).
        """
        wanted = np.arange(len(self)) if rows is None else rows
        for start in range(0, len(wanted), size):
            block = wanted[start : start + size]
            yield block, self.take(block)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of `manifest.json`, which `write_shards` leaves.

    Raises:
        UserError: it is missing, or is not what `write_shards` leaves.
    """
    path = folder / MANIFEST_FILE
    manifest = read_object(path, fix=_FIX)
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; {_FIX}") from None
    return manifest


def open_split(folder: Path, split: str) -> Split:
    """Map the shards of a split, without reading them.

    Raises:
        UserError: there is no such split, or a shard is missing or not of the shape that the
            manifest says.
    """
    manifest = read_manifest(folder)
    if split not in manifest["splits"]:
        raise UserError(
            f"{folder}: has no split {split}; there are {', '.join(manifest['splits'])}"
        )
    listed = [(shard["file"], shard["images"]) for shard in manifest["splits"][split]["shards"]]
    image_shape = manifest["image_shape"]
    if sum(images for _, images in listed) != manifest["splits"][split]["images"]:
        raise UserError(
            f"{folder / MANIFEST_FILE}: splits.{split}.images is not the sum of its shards'; {_FIX}"
        )
    shards = tuple(_mapped(folder / file, (images, *image_shape)) for file, images in listed)
    return Split(shards, np.cumsum([0] + [len(shard) for shard in shards]))


def shard_sums(folder: Path, split: str) -> list[tuple[Path, str]]:
    """Return each shard of a split with the sha256 that the manifest says it has."""
    listed = read_manifest(folder)["splits"][split]["shards"]
    return [(folder / shard["file"], shard["sha256"]) for shard in listed]


def index_rows(
    folder: Path, *, needed: Sequence[str] = ("split", "file_name")
) -> Iterator[dict[str, str]]:
    """Yield the rows of `images.csv` one by one, as texts by the names of the columns.

    The rows of a split come in the order of its images.

    Args:
        folder: of the shards.
        needed: columns that must be there.

    Raises:
        UserError: the index is missing, lacks a column, has one twice, a row is longer or shorter
            than the header, or an attribute is not 1 or -1.
    """
    path = folder / INDEX_FILE
    with (
        reading(path, kind="a table", fix=_FIX) as file,
        io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
    ):
        table = csv.reader(text, strict=True)
        header = next(table, [])
        for name in dict.fromkeys([*needed, *header]):
            if header.count(name) != 1:
                wrong = f"the column {name} twice" if name in header else f"no column {name}"
                raise UserError(f"{path}: has {wrong}; {_FIX}")
        signs = [place for place, name in enumerate(header) if is_attribute(name)]
        for row in table:
            if len(row) != len(header):
                raise UserError(
                    f"{path}, line {table.line_num}: {len(row)} cells, the header has "
                    f"{len(header)}; {_FIX}"
                )
            if not _SIGNS.issuperset([row[place] for place in signs]):
                place = next(place for place in signs if row[place] not in _SIGNS)
                raise UserError(
                    f"{path}, line {table.line_num}: {header[place]} is {row[place][:60]!r}, and "
                    f"must be 1 or -1; {_FIX}"
                )
            yield dict(zip(header, row, strict=True))


def is_attribute(column: str) -> bool:
    """Tell whether a column of the index holds an attribute: 1 has it, -1 has not."""
    return column not in INDEX_COLUMNS and not column.startswith(FACTOR_PREFIX)


def file_names(folder: Path, split: str) -> list[str]:
    """Return the file names of a split's images, in the order of its rows.

    Raises:
        UserError: as `index_rows`.
    """
    return [row["file_name"] for row in index_rows(folder) if row["split"] == split]


def _mapped(path: Path, shape: tuple[int, ...]) -> Pixels:
    mapped = map_array(path, fix=_FIX)
    if mapped.shape != shape or mapped.dtype != np.uint8:
        raise UserError(
            f"{path}: holds {mapped.dtype} {mapped.shape}, the manifest says uint8 {shape}; {_FIX}"
        )
    # As a plain array: indexing the subclass for memory maps is slow.
    return np.asarray(mapped)
