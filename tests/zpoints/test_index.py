from pathlib import Path

import numpy as np
import pytest

from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import Split
from celeba_vae.zpoints.index import read_index, table_of_images

# Columns and splits stand in another order; one split is not asked for.
INDEX = """\
file_name,split,Young,Male,factor_age
d.jpg,test,1,-1,0.5
a.jpg,train,-1,1,0.5
x.jpg,other,1,1,0.5
b.jpg,train,1,1,0.5
"""


def _split(images: int) -> Split:
    return Split((np.zeros((images, 8, 8, 3), np.uint8),), np.array([0, images]))


def _images(*, test: int = 1) -> dict[str, Split]:
    return {"train": _split(2), "test": _split(test)}


def test_rows_stand_in_the_order_of_the_arrays_with_the_attributes_in_that_of_celeba(
    tmp_path: Path,
) -> None:
    (tmp_path / "images.csv").write_text(INDEX)
    index = read_index(tmp_path, _images())
    table = table_of_images(index)
    assert tuple(table.header) == ("split", "row", "file_name", "Male", "Young")
    assert list(table.rows) == [
        ["train", 0, "a.jpg", 1, -1],
        ["train", 1, "b.jpg", 1, 1],
        ["test", 0, "d.jpg", -1, 1],
    ]
    of_train = index.attributes_of("train")
    assert {name: has.tolist() for name, has in of_train.items()} == {
        "Male": [True, True],
        "Young": [False, True],
    }


def test_without_attributes_there_are_only_names(tmp_path: Path) -> None:
    lines = [",".join(line.split(",")[:2]) for line in INDEX.splitlines()]
    (tmp_path / "images.csv").write_text("\n".join(lines) + "\n")
    index = read_index(tmp_path, _images())
    assert next(iter(table_of_images(index).rows)) == ["train", 0, "a.jpg"]
    assert index.attributes_of("train") == {}


def test_an_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text(INDEX)
    with pytest.raises(UserError, match="has 1 rows of the split test, the shards have 2"):
        read_index(tmp_path, _images(test=2))
