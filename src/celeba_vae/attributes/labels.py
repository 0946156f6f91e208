"""Labels of images, out of the shards' index: attributes, and the true factors of drawn faces."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_vae.faces.layout import ATTRIBUTES, SPLITS
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import FACTOR_PREFIX, INDEX_FILE, index_rows


@dataclass(frozen=True)
class Labels:
    """What is known of the n images of a split, in the order of its rows.

    Attributes:
        images: n.
        attributes: by name whether an image has it, bool (n,).
        factors: by name what a face was drawn from, as text (n,); none for photos.
    """

    images: int
    attributes: dict[str, NDArray[np.bool_]]
    factors: dict[str, NDArray[np.str_]]


def read_labels(shards: Path) -> dict[str, Labels]:
    """Return the labels of the images, by the name of the split.

    Raises:
        UserError: the index cannot be read.
    """
    images = dict.fromkeys(SPLITS, 0)
    attributes: dict[str, dict[str, list[bool]]] = {split: {} for split in SPLITS}
    factors: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    for row in index_rows(shards):
        split = row["split"]
        if split not in images:
            raise UserError(f"{shards / INDEX_FILE}: {split} is no split; run `dvc repro prepare`")
        images[split] += 1
        for name, cell in row.items():
            if name.startswith(FACTOR_PREFIX):
                factors[split].setdefault(name.removeprefix(FACTOR_PREFIX), []).append(cell)
            elif name in ATTRIBUTES:
                attributes[split].setdefault(name, []).append(cell == "1")
    return {
        split: Labels(
            images=images[split],
            attributes={name: np.array(cells) for name, cells in attributes[split].items()},
            factors={name: np.array(cells) for name, cells in factors[split].items()},
        )
        for split in SPLITS
    }
