import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.inspect import (
    SHEET_COLUMNS,
    SHEET_ROWS,
    check_shards,
    contact_sheet,
    describe,
    summarize,
)
from celeba_vae.shards.read import open_split
from celeba_vae.shards.write import write_shards
from tests.support import ROOT

COUNTS = {"train": 30, "validation": 6, "test": 5}
SIZE = 16


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 6 * number + 1, (218, 178, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make(folder: Path, *, attributes: bool = True) -> Path:
    """Make shards of three splits, as the stages do, from a real archive."""
    raw = folder / "raw"
    raw.mkdir()
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    names = [f"{number:06d}.png" for number in range(len(splits))]
    with zipfile.ZipFile(raw / "img_align_celeba.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(number))
    (raw / "source.json").write_text('{"source": "local", "digest": "abc"}')
    (raw / "list_eval_partition.txt").write_text(
        "".join(f"{n} {list(COUNTS).index(s)}\n" for n, s in zip(names, splits, strict=True))
    )
    if attributes:
        rows = (f"{n} {-1 if i % 3 else 1} {1 if i < 30 else -1}\n" for i, n in enumerate(names))
        text = f"{len(names)}\nSmiling Young\n" + "".join(rows)
        (raw / "list_attr_celeba.txt").write_text(text)
    params = load_params(
        ROOT / "params.yaml", [f"prepare.size={SIZE}", "prepare.shard_images=8"]
    ).prepare
    write_shards(raw, folder / "shards", params=params, workers=1)
    return folder / "shards"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def shards(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "shards"))


def refused(call: Callable[[Path], object], folder: Path) -> str:
    with pytest.raises(UserError) as error:
        call(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_summary_agrees_with_the_pixels_and_the_index(whole: Path) -> None:
    report = summarize(whole)
    assert report["image_shape"] == [SIZE, SIZE, 3]
    assert report["crop"] == 148
    assert report["source"] == {"source": "local", "digest": "abc"}
    assert list(report["splits"]) == list(COUNTS)
    with (whole / "images.csv").open(newline="") as file:
        index = list(csv.DictReader(file))
    for name, split in report["splits"].items():
        pixels = open_split(whole, name).take(np.arange(COUNTS[name])).astype(np.float64)
        assert split["images"] == COUNTS[name]
        assert split["shards"] == -(-COUNTS[name] // 8)
        assert split["bytes"] == pixels.size
        np.testing.assert_allclose(split["channel_mean"], pixels.mean((0, 1, 2)), rtol=1e-13)
        np.testing.assert_allclose(split["channel_std"], pixels.std((0, 1, 2)), rtol=1e-13)
        own = [row for row in index if row["split"] == name]
        for attribute in ("Smiling", "Young"):
            share = sum(row[attribute] == "1" for row in own) / len(own)
            assert split["attributes"][attribute] == share
    assert report["splits"]["train"]["attributes"]["Young"] == 1


def test_description_holds_the_values_in_100_columns(whole: Path) -> None:
    report = summarize(whole)
    lines = describe(report).splitlines()
    assert max(map(len, lines)) <= 100
    mean = report["splits"]["train"]["channel_mean"]
    (train,) = (line for line in lines if line.startswith("train"))
    assert train.split()[1:5] == ["30", "4", "0.0", f"{mean[0]:.2f}"]
    assert "Smiling                 33.3       33.3    40.0     Young" in "\n".join(lines)
    names = [f"{'a_long_name_' * 3}{number}" for number in range(41)]
    for split in report["splits"].values():
        split["attributes"] = dict.fromkeys(names, 1.0)
        split["images"] = 162_770
    wide = describe(report).splitlines()
    assert max(map(len, wide)) <= 100
    assert sum(line.count("a_long_name") for line in wide) == 41


def test_unknown_attributes_are_said_to_be_unknown(tmp_path: Path) -> None:
    report = summarize(make(tmp_path, attributes=False))
    assert report["splits"]["train"]["attributes"] == {}
    assert describe(report).endswith("attributes: none known")


def test_contact_sheet_shows_images_of_each_split_once(whole: Path) -> None:
    sheet = contact_sheet(whole, seed=1)
    pitch = SIZE + 2
    left = sheet.shape[1] - SHEET_COLUMNS * pitch + 2
    assert len(sheet) == 3 * SHEET_ROWS * pitch - 2
    for place, (split, count) in enumerate(COUNTS.items()):
        expected = open_split(whole, split).take(np.arange(count))
        seen = []
        for number in range(SHEET_ROWS * SHEET_COLUMNS):
            row, column = divmod(number, SHEET_COLUMNS)
            y = (place * SHEET_ROWS + row) * pitch
            x = left + column * pitch
            image = sheet[y : y + SIZE, x : x + SIZE]
            if number < count:  # fewer than there are places: all, in their order
                assert np.array_equal(image, expected[number])
            else:
                assert image.min() == 255
            seen.append(image)
    assert np.array_equal(contact_sheet(whole, seed=1), sheet)


def test_seed_chooses_the_images_where_there_are_more_than_places(tmp_path: Path) -> None:
    images = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    np.save(tmp_path / "train.npy", images)
    shard = {"file": "train.npy", "images": 200, "sha256": ""}
    manifest = {
        "source": {"source": "synthetic"},
        "image_shape": [1, 1, 3],
        "crop": None,
        "filter": "box",
        "splits": {"train": {"images": 200, "shards": [shard]}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    first, again, other = (contact_sheet(tmp_path, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    drawn = first[::3, -34::3, 0].ravel()
    assert len(set(drawn.tolist())) == SHEET_ROWS * SHEET_COLUMNS


def test_whole_shards_pass(whole: Path) -> None:
    check_shards(whole)


def test_flipped_bits_are_named_by_shard(shards: Path) -> None:
    for name in ("train-00001-of-00004.npy", "test-00000-of-00001.npy"):
        content = bytearray((shards / name).read_bytes())
        content[1000] ^= 1
        (shards / name).write_bytes(content)
    message = refused(check_shards, shards)
    assert message.startswith(f"{shards}/train-00001-of-00004.npy: its sha256 is ")
    assert "; 2 of 6 shards are damaged; run `dvc repro --force prepare`" in message


def test_missing_and_short_shards_are_named(shards: Path) -> None:
    (shards / "validation-00000-of-00001.npy").unlink()
    short = shards / "test-00000-of-00001.npy"
    short.write_bytes(short.read_bytes()[:-1])
    message = refused(check_shards, shards)
    assert "validation-00000-of-00001.npy: cannot be read: No such file" in message
    assert "2 of 6 shards" in message
    assert "validation-00000-of-00001.npy" in refused(summarize, shards)


def test_counts_are_those_of_the_index(shards: Path) -> None:
    index = shards / "images.csv"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(line for line in lines if "000009.png" not in line))
    message = refused(check_shards, shards)
    assert "train-00001-of-00004.npy: images.csv has 7 images in it, the manifest says 8" in message
    assert "1 of 6 shards" in message
    index.write_text("".join([*lines, lines[-1].replace("test-00000-of-00001", "other")]))
    assert "images.csv: has 6 images of test, the manifest says 5" in refused(check_shards, shards)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda text: text.replace("identity", "person", 1), "has no column identity"),
        (lambda text: text + "1,2\n", "line 43: 2 cells, the header has 8"),
        (lambda text: text.replace(",train,", ",trein,", 1), "a split trein"),
        (lambda text: "", "has no column row"),
    ],
)
def test_a_wrong_index_is_refused(shards: Path, edit: Callable[[str], str], expected: str) -> None:
    index = shards / "images.csv"
    index.write_text(edit(index.read_text()))
    message = refused(summarize, shards)
    assert message.startswith(str(index))
    assert expected in message
    index.unlink()
    assert "images.csv: no such file" in refused(summarize, shards)
    assert "images.csv: no such file" in refused(check_shards, shards)


def test_a_manifest_without_sums_is_refused(shards: Path) -> None:
    manifest = json.loads((shards / "manifest.json").read_text())
    del manifest["splits"]["test"]["shards"][0]["sha256"]
    (shards / "manifest.json").write_text(json.dumps(manifest))
    assert "splits.test.shards.0.sha256: Field required" in refused(check_shards, shards)


def test_real_faces_have_the_attributes_of_their_file(celeba_subset: Path, tmp_path: Path) -> None:
    from celeba_vae.faces.annotations import read_annotations

    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (raw / name).symlink_to(celeba_subset / name)
    (raw / "source.json").write_text('{"source": "local"}')
    annotations = read_annotations(raw)
    assert annotations.partition is not None
    assert annotations.attributes is not None
    with (
        zipfile.ZipFile(celeba_subset / "img_align_celeba.zip") as archive,
        zipfile.ZipFile(raw / "img_align_celeba.zip", "w") as few,
    ):
        jpegs = [info for info in archive.infolist() if info.filename.endswith(".jpg")][::100]
        for info in jpegs:
            few.writestr(info.filename, archive.read(info))
    write_shards(
        raw,
        tmp_path / "shards",
        params=load_params(ROOT / "params.yaml", ["prepare.size=16"]).prepare,
        workers=1,
    )
    check_shards(tmp_path / "shards")
    report = summarize(tmp_path / "shards")
    names = [Path(info.filename).name for info in jpegs]
    for number, split in enumerate(COUNTS):
        own = [name for name in names if annotations.partition[name] == number]
        assert report["splits"][split]["images"] == len(own)
        for place, attribute in enumerate(annotations.attribute_names):
            share = sum(annotations.attributes[name][place] == 1 for name in own) / len(own)
            assert report["splits"][split]["attributes"][attribute] == pytest.approx(share)
