"""Open the shards of pixels as memory maps."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from celeba_vae.params import Filter
from celeba_vae.runtime.errors import UserError, first_problem

MANIFEST_FILE = "manifest.json"
INDEX_FILE = "images.csv"

# Images in memory at once, unless asked otherwise: 14 MB at 96 pixels.
BLOCK = 512

_MEND = "run `dvc repro prepare`"


class _Shard(BaseModel):
    file: str
    images: Annotated[int, Field(ge=1)]
    sha256: str


class _Shards(BaseModel):
    images: Annotated[int, Field(ge=1)]
    shards: Annotated[list[_Shard], Field(min_length=1)]


class _Manifest(BaseModel):
    """What every reader relies on; there is more in it for people."""

    image_shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]
    crop: int | None
    filter: Filter
    splits: dict[str, _Shards]


@dataclass(frozen=True)
class Split:
    """The images of one split, mapped from its shards.

    Attributes:
        shards: uint8 arrays (n_i, size, size, 3).
        starts: the first row of each shard, and at the end the number of images.
    """

    shards: tuple[np.ndarray, ...]
    starts: np.ndarray

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        _, height, width, channels = self.shards[0].shape
        return height, width, channels

    def take(self, rows: np.ndarray) -> np.ndarray:
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
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the images block by block, so that no more than `size` are in memory.

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
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _Manifest.model_validate(manifest)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, the shards are not finished; {_MEND}") from None
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; {_MEND}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}; {_MEND}") from None
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
    shards = tuple(_mapped(folder / file, (images, *image_shape)) for file, images in listed)
    return Split(shards, np.cumsum([0] + [len(shard) for shard in shards]))


def shard_sums(folder: Path, split: str) -> list[tuple[Path, str]]:
    """Return each shard of a split with the sha256 that the manifest says it has."""
    listed = read_manifest(folder)["splits"][split]["shards"]
    return [(folder / shard["file"], shard["sha256"]) for shard in listed]


def index_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Give the rows of `images.csv` one by one, as texts by the names of the columns.

    The rows of a split come in the order of its images. At least split and file_name are there.

    Raises:
        UserError: the index is missing or has no such columns.
    """
    path = folder / INDEX_FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.reader(file)
            header = next(table, [])
            for name in ("split", "file_name"):
                if name not in header:
                    raise ValueError(f"has no column {name}")
            for row in table:
                yield dict(zip(header, row, strict=True))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_MEND}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {error}; {_MEND}") from None


def file_names(folder: Path, split: str) -> list[str]:
    """Return the file names of a split's images, in the order of its rows.

    Raises:
        UserError: the index is missing or has no such columns.
    """
    return [row["file_name"] for row in index_rows(folder) if row["split"] == split]


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        # Not np.load, which would also open a zip or a pickle under this name.
        mapped = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise UserError(f"{path}: the shard is missing; {_MEND}") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: is no whole shard: {error}; {_MEND}") from None
    if mapped.shape != shape or mapped.dtype != np.uint8:
        raise UserError(
            f"{path}: holds {mapped.dtype} {mapped.shape}, the manifest says uint8 {shape}; {_MEND}"
        )
    # As a plain array: indexing the subclass for memory maps is slow.
    return np.asarray(mapped)
