"""Index of the z-points: the image of each row of the arrays, and its attributes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_vae.faces.layout import ATTRIBUTES
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.outs import Table
from celeba_vae.shards.read import Split, index_rows

INDEX_FILE = "rows.csv"


@dataclass(frozen=True)
class Index:
    """The images of each split, in the order of their rows.

    Attributes:
        file_names: (n,) by split.
        attributes: those that are known, in CelebA's order.
        has: (n, attributes) by split, whether the image has the attribute.
    """

    file_names: Mapping[str, list[str]]
    attributes: tuple[str, ...]
    has: Mapping[str, NDArray[np.bool_]]

    def attributes_of(self, split: str) -> dict[str, NDArray[np.bool_]]:
        """Return whether each image of a split has an attribute, (n,), by its name."""
        return dict(zip(self.attributes, self.has[split].T, strict=True))


def read_index(shards: Path, images: Mapping[str, Split]) -> Index:
    """Read the index of the shards.

    Args:
        shards: the folder of the shards.
        images: its splits.

    Raises:
        UserError: the index cannot be read, or does not fit the shards.
    """
    names: dict[str, list[str]] = {split: [] for split in images}
    cells: dict[str, list[NDArray[np.bool_]]] = {split: [] for split in images}
    known: tuple[str, ...] = ()
    for row in index_rows(shards):
        known = known or tuple(name for name in ATTRIBUTES if name in row)
        if row["split"] in names:
            names[row["split"]].append(row["file_name"])
            # One by one: all cells of CelebA as texts would take more memory than z does.
            cells[row["split"]].append(np.array([row[name] == "1" for name in known], bool))
    for split, each in images.items():
        if len(names[split]) != len(each):
            raise UserError(
                f"{shards}: the index has {len(names[split])} rows of the split {split}, the "
                f"shards have {len(each)} images; run `dvc repro prepare`"
            )
    has = {split: np.stack(rows) for split, rows in cells.items()}
    return Index(file_names=names, attributes=known, has=has)


def table_of_images(index: Index) -> Table:
    """Return a row for each image: split, row, file_name, and its attributes as 1 and -1."""
    return Table(("split", "row", "file_name", *index.attributes), _rows(index))


def _rows(index: Index) -> Iterator[list[str | int]]:
    for split, names in index.file_names.items():
        for row, (name, has) in enumerate(zip(names, index.has[split], strict=True)):
            yield [split, row, name, *np.where(has, 1, -1).tolist()]
