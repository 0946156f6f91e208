import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import sha256_of
from celeba_vae.shards.read import (
    Split,
    file_names,
    index_rows,
    is_attribute,
    open_split,
    read_manifest,
)
from tests.support import manifest_of


def numbered_images(count: int, size: int = 4) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def stored(folder: Path, counts: tuple[int, ...]) -> np.ndarray:
    """Write shards of these lengths by hand, and return all their images in order."""
    images = numbered_images(sum(counts))
    shards = []
    lines = ["row,shard,offset,file_name,split"]
    start = 0
    for number, count in enumerate(counts):
        file = f"train-{number:05d}-of-{len(counts):05d}.npy"
        np.save(folder / file, images[start : start + count])
        shards.append({"file": file, "images": count, "sha256": sha256_of(folder / file)})
        lines += [f"{start + k},{file},{k},image {start + k}.jpg,train" for k in range(count)]
        start += count
    splits = {"train": {"images": start, "shards": shards}}
    manifest = manifest_of(4, splits)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines.append("0,test.npy,0,other.jpg,test")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    return images


def test_a_split_is_its_shards_in_order(tmp_path: Path) -> None:
    images = stored(tmp_path, (5, 5, 2))
    split = open_split(tmp_path, "train")
    assert len(split) == 12
    assert split.image_shape == (4, 4, 3)
    assert split.starts.tolist() == [0, 5, 10, 12]
    assert np.array_equal(split.take(np.arange(12)), images)
    assert file_names(tmp_path, "train") == [f"image {row}.jpg" for row in range(12)]
    assert file_names(tmp_path, "test") == ["other.jpg"]


def test_shards_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    stored(tmp_path, (5,))
    shard = open_split(tmp_path, "train").shards[0]
    assert not shard.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        shard[0] = 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_take_is_indexing_of_the_joined_shards(counts: list[int], data: st.DataObject) -> None:
    images = numbered_images(sum(counts))
    shards = tuple(np.split(images, np.cumsum(counts)[:-1]))
    split = Split(shards, np.cumsum([0, *counts]))
    rows = np.array(data.draw(st.lists(st.integers(0, len(images) - 1), max_size=40)), np.int64)
    taken = split.take(rows)
    assert taken.dtype == np.uint8
    assert np.array_equal(taken, images[rows])


def test_what_was_taken_is_a_copy() -> None:
    images = numbered_images(3)
    split = Split((images,), np.array([0, 3]))
    split.take(np.array([1]))[...] = 0
    assert np.array_equal(images, numbered_images(3))


@pytest.mark.parametrize("row", [-1, 12])
def test_rows_outside_are_refused(tmp_path: Path, row: int) -> None:
    stored(tmp_path, (5, 7))
    with pytest.raises(IndexError, match="from 0 to 11"):
        open_split(tmp_path, "train").take(np.array([0, row]))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    stored(tmp_path, (2, 2))
    (tmp_path / "train-00001-of-00002.npy").unlink()
    with pytest.raises(UserError, match=r"train-00001-of-00002\.npy: no such file"):
        open_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (0, "is damaged, or not an array"),
        (50, "is damaged, or not an array"),
        (200, "holds 72 bytes of values, its header says 96"),
    ],
)
def test_a_shard_cut_short_is_named(tmp_path: Path, kept: int, expected: str) -> None:
    stored(tmp_path, (2,))
    path = tmp_path / "train-00000-of-00001.npy"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"train-00000-of-00001\.npy: {expected}"):
        open_split(tmp_path, "train")


@pytest.mark.parametrize(
    "array", [np.zeros((3, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.float32)]
)
def test_another_shape_than_the_manifest_says_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    stored(tmp_path, (2,))
    np.save(tmp_path / "train-00000-of-00001.npy", array)
    with pytest.raises(UserError, match=r"the manifest says uint8 \(2, 4, 4, 3\)"):
        open_split(tmp_path, "train")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    stored(tmp_path, (2,))
    path = tmp_path / "train-00000-of-00001.npy"
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="is damaged, or not an array"):
        open_split(tmp_path, "train")


def test_an_archive_in_place_of_a_shard_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, (2,))
    with zipfile.ZipFile(tmp_path / "train-00000-of-00001.npy", "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(UserError, match=r"train-00000-of-00001\.npy"):
        open_split(tmp_path, "train")


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, (2,))
    with pytest.raises(UserError, match="has no split valid; there are train"):
        open_split(tmp_path, "valid")


def test_unfinished_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: no such file"):
        read_manifest(tmp_path)
    with pytest.raises(UserError, match=r"images\.csv: no such file"):
        file_names(tmp_path, "train")


@pytest.mark.parametrize(("images", "expected"), [("2", "valid integer"), (3, "not the sum of")])
def test_a_wrong_number_of_images_is_the_manifests_fault(
    tmp_path: Path, images: object, expected: str
) -> None:
    stored(tmp_path, (2,))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["splits"]["train"]["images"] = images
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"manifest\.json: splits\.train\.images.*{expected}"):
        open_split(tmp_path, "train")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"splits": {}}', "\x00"])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.json: "):
        read_manifest(tmp_path)


@pytest.mark.parametrize("listed", [None, {"images": 2}, {"shards": [{"file": "a.npy"}]}])
def test_a_manifest_without_shards_is_refused(tmp_path: Path, listed: object) -> None:
    manifest = {
        "source": {"source": "synthetic"},
        "image_shape": [4, 4, 3],
        "crop": None,
        "filter": "box",
        "splits": {"train": listed},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"manifest\.json: splits\.train"):
        open_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "images.csv: has no column split"),
        (b"row,file_name\n0,a.jpg\n", "images.csv: has no column split"),
        (b"row,split\n0,train\n", "images.csv: has no column file_name"),
        (b"file_name,split,split\na.jpg,1,train\n", "images.csv: has the column split twice"),
        (b"file_name,split,A,A\na.jpg,train,1,-1\n", "images.csv: has the column A twice"),
        (
            b"file_name,split,A\na.jpg,train,q\n",
            "images.csv, line 2: A is 'q', and must be 1",
        ),
        (b"file_name,split,A\na.jpg,train,\n", "images.csv, line 2: A is '', and must be 1 or -1"),
        (b"file_name,split,A\na.jpg,train,1\nb,test,+1\n", "line 3: A is '+1', and must be 1 or"),
        (b"file_name,split\na.jpg\n", "images.csv, line 2: 1 cells, the header has 2"),
        (b"file_name,split\na.jpg,train\nb,test,1\n", "line 3: 3 cells, the header has 2"),
        (b'file_name,split\n"a"b.jpg,train\n', "images.csv: is damaged, or not a table"),
        (b"file_name,split\n\xff.jpg,train\n", "images.csv: is damaged, or not a table"),
    ],
)
def test_a_broken_index_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "images.csv").write_bytes(content)
    with pytest.raises(UserError, match=re.escape(expected)) as error:
        file_names(tmp_path, "train")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("run `dvc repro prepare`")


def test_rows_are_texts_by_the_names_of_the_columns(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text('split,file_name,Male\ntest,"a,b.jpg",-1\n')
    assert list(index_rows(tmp_path)) == [{"split": "test", "file_name": "a,b.jpg", "Male": "-1"}]
    with pytest.raises(UserError, match=r"images\.csv: has no column identity"):
        next(index_rows(tmp_path, needed=("split", "identity")))


def test_a_column_is_a_place_an_attribute_or_a_factor() -> None:
    columns = ["row", "split", "identity", "Male", "factor_age"]
    assert [name for name in columns if is_attribute(name)] == ["Male"]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12), st.data())
def test_blocks_are_what_take_gives_a_few_at_a_time(
    counts: list[int], size: int, data: st.DataObject
) -> None:
    images = numbered_images(sum(counts))
    split = Split(tuple(np.split(images, np.cumsum(counts)[:-1])), np.cumsum([0, *counts]))
    some = np.array(data.draw(st.lists(st.integers(0, len(images) - 1), max_size=40)), np.int64)
    for wanted, expected in ((None, np.arange(len(images))), (some, some)):
        blocks = list(split.blocks(wanted, size=size))
        assert all(0 < len(rows) <= size for rows, _ in blocks)
        assert [row for rows, _ in blocks for row in rows] == expected.tolist()
        for rows, pixels in blocks:
            assert np.array_equal(pixels, images[rows])
