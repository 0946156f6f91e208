import csv
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from celeba_vae.faces.local import import_dataset, is_image
from celeba_vae.params import PrepareParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.scratch import SCRATCH_VARIABLE
from celeba_vae.shards.inspect import describe, summarize
from celeba_vae.shards.read import file_names, open_split, read_manifest
from celeba_vae.shards.splits import assign_splits, drawn_split
from celeba_vae.shards.transform import to_square
from celeba_vae.shards.write import write_shards
from tests.support import ROOT

NAMES = [f"{number:06d}.jpg" for number in range(1, 41)]
NUMBERS = {"train": 0, "validation": 1, "test": 2}


def params(**changes: object) -> PrepareParams:
    values: dict[str, object] = {
        "size": 16,
        "crop": 148,
        "filter": "area",
        "shard_images": 7,
        "on_bad_image": "fail",
        "split": "given",
        "split_by": "image",
        "validation": None,
        "test": None,
        "seed": 1,
    }
    return PrepareParams.model_validate(values | changes)


def jpeg(name: str) -> bytes:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((178, 218)).save(buffer, "JPEG")
    return buffer.getvalue()


def raw_folder(
    folder: Path,
    images: Mapping[str, bytes] | Sequence[str] = NAMES,
    *,
    prefix: str = "img_align_celeba/",
    **texts: str,
) -> Path:
    """Make what the stage download leaves; `texts` are annotation files, `__` for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = images if isinstance(images, Mapping) else {name: jpeg(name) for name in images}
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        archive.mkdir("img_align_celeba")
        for name, content in contents.items():
            archive.writestr(prefix + name, content)
    (folder / "source.json").write_text('{"source": "local", "path": "/x", "digest": "abc"}')
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bad images are listed."""
    monkeypatch.setenv(SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    return tmp_path / "scratch/prepare/bad_images.txt"


def partition_of(names: Sequence[str]) -> dict[str, int]:
    return {name: (0, 0, 0, 1, 2)[place % 5] for place, name in enumerate(names)}


def partition_text(names: Sequence[str] = NAMES) -> str:
    return "".join(f"{name} {number}\n" for name, number in partition_of(names).items())


def write(raw: Path, folder: Path, workers: int = 1, **changes: object) -> dict[str, Any]:
    write_shards(raw, folder, params=params(**changes), workers=workers)
    return read_manifest(folder)


def index_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def refused(raw: Path, **changes: object) -> str:
    """Return the error; a refusal leaves nothing behind, not even of an earlier run."""
    folder = raw.parent / "refused"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "train-00000-of-00001.npy").write_text("old")
    (folder / ".part.abc.train-00000-of-00001.npy").write_text("killed")
    with pytest.raises(UserError) as error:
        write(raw, folder, 1, **changes)
    assert list(folder.iterdir()) == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pixels_index_and_manifest_agree(tmp_path: Path) -> None:
    shuffled = random.Random(1).sample(NAMES, len(NAMES))
    attributes = {name: [1 if ord(c) % 2 else -1 for c in name[4:6]] for name in NAMES}
    raw = raw_folder(
        tmp_path / "raw",
        shuffled,
        list_eval_partition__txt="".join(f"{n} {partition_of(NAMES)[n]}\n" for n in shuffled),
        list_attr_celeba__txt="42\r\nYoung Male \r\n"
        + "".join(f"{n} {attributes[n][0]:2d}  {attributes[n][1]:2d}\r\n" for n in shuffled[::-1])
        + "absent.jpg 1 1\r\ngone.jpg 1 1\r\n",
        identity_CelebA__txt="".join(f"{n} {int(n[:6]) * 3}\n" for n in shuffled[::-1]),
        factors__csv="file_name,tilt\n" + "".join(f"{n},{int(n[:6]) / 8}\n" for n in NAMES[::-1]),
    )
    folder = tmp_path / "shards"
    manifest = write(raw, folder)
    assert manifest["image_shape"] == [16, 16, 3]
    assert (manifest["crop"], manifest["filter"]) == (148, "area")
    assert manifest["source"] == {"source": "local", "digest": "abc"}
    assert manifest["rows_without_image"] == 2
    assert manifest["versions"]["numpy"] == np.__version__

    # 24 train images in shards of 7, 8 validation and 8 test images.
    lengths = {
        split: [shard["images"] for shard in entry["shards"]]
        for split, entry in manifest["splits"].items()
    }
    assert lengths == {"train": [7, 7, 7, 3], "validation": [7, 1], "test": [7, 1]}
    files = {path.name for path in folder.iterdir()}
    listed = [shard for entry in manifest["splits"].values() for shard in entry["shards"]]
    assert files == {shard["file"] for shard in listed} | {"images.csv", "manifest.json"}
    assert listed[1]["file"] == "train-00001-of-00004.npy"
    for shard in listed:
        content = (folder / shard["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == shard["sha256"]
        buffer = io.BytesIO()
        np.save(buffer, np.load(folder / shard["file"]))
        assert buffer.getvalue() == content

    index = index_of(folder)
    assert [row["file_name"] for row in index] == sorted(
        NAMES, key=lambda name: (partition_of(NAMES)[name], name)
    )
    for row in index:
        name = row["file_name"]
        expected = to_square(jpeg(name), size=16, crop=148, filter="area")
        stored = np.load(folder / row["shard"])[int(row["offset"])]
        taken = open_split(folder, row["split"]).take(np.array([int(row["row"])]))[0]
        assert np.array_equal(stored, expected)
        assert np.array_equal(taken, expected)
        assert NUMBERS[row["split"]] == partition_of(NAMES)[name]
        assert int(row["identity"]) == int(name[:6]) * 3
        assert [int(row["Young"]), int(row["Male"])] == attributes[name]
        assert row["factor_tilt"] == str(int(name[:6]) / 8)
    assert file_names(folder, "test") == [n for n in NAMES if partition_of(NAMES)[n] == 2]


def test_what_is_unknown_has_no_column_or_is_empty(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    write(raw, tmp_path / "shards")
    row = index_of(tmp_path / "shards")[0]
    assert list(row) == ["row", "shard", "offset", "file_name", "split", "identity"]
    assert row["identity"] == ""


def test_one_and_four_workers_write_the_same_bytes(tmp_path: Path) -> None:
    # Squares of 128 pixels: 85 images are a block, so a shard of 110 takes two.
    names = [f"{number:03d}.jpg" for number in range(200)]
    raw = raw_folder(tmp_path / "raw", names, list_eval_partition__txt=partition_text(names))
    for workers in (1, 4):
        write(raw, tmp_path / str(workers), workers, size=128, shard_images=110)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / str(workers)).iterdir()}
        for workers in (1, 4)
    )
    assert len(first) == 6
    assert first == second
    taken = open_split(tmp_path / "4", "train").take(np.arange(120))
    for image, name in zip(taken, file_names(tmp_path / "4", "train"), strict=True):
        assert np.array_equal(image, to_square(jpeg(name), size=128, crop=148, filter="area"))


def test_the_order_in_the_archive_does_not_matter(tmp_path: Path) -> None:
    for place, names in (("a", NAMES), ("b", NAMES[::-1])):
        raw = raw_folder(tmp_path / place, names, list_eval_partition__txt=partition_text())
        write(raw, tmp_path / f"out_{place}")
    assert read_manifest(tmp_path / "out_a") == read_manifest(tmp_path / "out_b")


def test_parameters_reach_the_pixels(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    manifest = write(raw, tmp_path / "shards", size=24, crop=None, filter="box")
    assert manifest["image_shape"] == [24, 24, 3]
    expected = to_square(jpeg(NAMES[0]), size=24, crop=None, filter="box")
    image = open_split(tmp_path / "shards", "train").take(np.array([0]))[0]
    assert np.array_equal(image, expected)


def test_a_new_run_replaces_an_old_one(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    write(raw, tmp_path / "shards", shard_images=3)
    write(raw, tmp_path / "shards", shard_images=100)
    assert sorted(path.name for path in (tmp_path / "shards").glob("*.npy")) == [
        f"{split}-00000-of-00001.npy" for split in ("test", "train", "validation")
    ]


@pytest.mark.parametrize("prefix", ["", "img_align_celeba/img_align_celeba/", "a ü/顔/"])
def test_names_are_relative_to_the_common_folder(tmp_path: Path, prefix: str) -> None:
    images = {name: jpeg(name) for name in NAMES[:10]}
    raw = raw_folder(
        tmp_path / "raw", images, prefix=prefix, list_eval_partition__txt=partition_text(NAMES[:10])
    )
    with zipfile.ZipFile(raw / "img_align_celeba.zip", "a") as archive:
        archive.writestr("__MACOSX/" + prefix + "._000001.jpg", b"resource fork")
        archive.writestr("readme.txt", b"no image")
    before = set(tmp_path.rglob("*"))
    write(raw, tmp_path / "shards")
    assert sorted(row["file_name"] for row in index_of(tmp_path / "shards")) == NAMES[:10]
    # Whatever the members are called, nothing is written beside the shards.
    after = set(tmp_path.rglob("*")) - {tmp_path / "shards", *(tmp_path / "shards").iterdir()}
    assert after == before


def test_folders_below_the_common_one_belong_to_the_name(tmp_path: Path) -> None:
    names = [f"{person}/{number}.png" for person in ("ann", "ben/x") for number in range(5)]
    images: dict[str, bytes] = {}
    for name in names:
        buffer = io.BytesIO()
        Image.new("L", (30, 20), len(images) * 20).save(buffer, "PNG")
        images[name] = buffer.getvalue()
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text(names))
    write(raw, tmp_path / "shards")
    index = index_of(tmp_path / "shards")
    assert sorted(row["file_name"] for row in index) == sorted(names)
    for row in index:
        image = np.load(tmp_path / "shards" / row["shard"])[int(row["offset"])]
        assert (image == names.index(row["file_name"]) * 20).all()


def test_without_a_partition_file_the_split_is_drawn(tmp_path: Path) -> None:
    names = [f"{number:03d}.jpg" for number in range(120)]
    write(raw_folder(tmp_path / "raw", names), tmp_path / "shards", seed=5)
    for split in NUMBERS:
        expected = [name for name in names if drawn_split(name, 5) == split]
        assert file_names(tmp_path / "shards", split) == expected


def test_the_files_of_partition_and_people_decide_the_split(tmp_path: Path) -> None:
    person = {name: int(name[:6]) % 14 for name in NAMES}
    raw = raw_folder(
        tmp_path / "raw",
        list_eval_partition__txt=partition_text(),
        identity_CelebA__txt="".join(f"{name} {person[name]}\n" for name in NAMES),
    )
    drawn: dict[str, object] = {"split": "drawn", "split_by": "identity", "seed": 4}
    for place, changes in (("given", {}), ("drawn", drawn)):
        write(raw, tmp_path / place, 1, **changes)
        expected = assign_splits(
            NAMES,
            partition=partition_of(NAMES),
            identity=person,
            content={},
            params=params(**changes),
        )
        for split, names in expected.items():
            assert file_names(tmp_path / place, split) == names


def test_an_impossible_split_is_refused(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", NAMES[:6])
    message = refused(raw, split="drawn", split_by="identity")
    assert "prepare.split_by is identity, but the source brought no identity_CelebA.txt" in message


OURS = ("row", "shard", "offset", "file_name", "split", "identity", "factor_tilt", "factor_any")


@pytest.mark.parametrize("title", [*OURS, "File_Name", "SPLIT", "Factor_Any"])
def test_an_attribute_with_the_name_of_a_column_is_refused(tmp_path: Path, title: str) -> None:
    raw = raw_folder(
        tmp_path / "raw",
        list_eval_partition__txt=partition_text(),
        list_attr_celeba__csv=f"image_id,{title}\n" + "".join(f"{name},1\n" for name in NAMES),
        factors__csv="file_name,tilt\n" + "".join(f"{name},0.5\n" for name in NAMES),
    )
    message = refused(raw)
    assert message.startswith(f"{raw / 'list_attr_celeba.csv'}: an attribute is called '{title}'")


def test_attributes_that_no_stage_uses_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = raw_folder(
        tmp_path / "raw",
        list_eval_partition__txt=partition_text(),
        list_attr_celeba__csv="image_id,Smiling,\x1b[2JMine\n"
        + "".join(f"{name},1,-1\n" for name in NAMES),
    )
    write(raw, tmp_path / "shards")
    errors = capsys.readouterr().err
    assert "1 attributes that CelebA does not have are kept in images.csv" in errors
    assert r"no later stage uses them: \x1b[2JMine" in errors
    assert "\x1b[2JMine" not in errors


def test_copies_are_counted_said_and_kept_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of each five images three are train; the sixth shares its pixels with the first, and so on.
    images = {name: jpeg(NAMES[place % 4]) for place, name in enumerate(NAMES)}
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text())
    manifest = write(raw, tmp_path / "shards", workers=2)
    seen: dict[bytes, set[str]] = {}
    expected: dict[str, dict[str, int]] = {}
    for split in NUMBERS:
        (_, pixels), *_ = open_split(tmp_path / "shards", split).blocks()
        for image in pixels:
            for of in seen.get(image.tobytes(), set()):
                own = expected.setdefault(split, {})
                own[of] = own.get(of, 0) + 1
            seen.setdefault(image.tobytes(), set()).add(split)
    assert manifest["copies"] == expected
    assert expected["test"]["train"] == 8
    errors = capsys.readouterr().err
    assert "8 of test those of train" in errors
    assert "20 of train those of others of train" in errors
    assert "prepare.split_by=content" in errors

    together = write(
        raw, tmp_path / "together", split="drawn", split_by="content", validation=12, test=8
    )
    assert all(set(copies) == {split} for split, copies in together["copies"].items())
    once = raw_folder(tmp_path / "once", list_eval_partition__txt=partition_text())
    capsys.readouterr()
    assert "copies" not in write(once, tmp_path / "none")
    assert "very pixels" not in capsys.readouterr().err


def test_one_colour_is_prepared_and_said(tmp_path: Path) -> None:
    black = io.BytesIO()
    Image.new("RGB", (20, 20)).save(black, "PNG")
    images = dict.fromkeys(NAMES, black.getvalue())
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text())
    copies = write(raw, tmp_path / "shards")["copies"]
    assert copies["train"] == {"train": 23}
    assert copies["test"] == {"train": 8, "validation": 8, "test": 7}
    message = refused(raw, split="drawn", split_by="content")
    assert "prepare.split_by is content, but the images have 1 of them for 3 splits" in message


def test_names_cannot_forge_lines(tmp_path: Path, report: Path) -> None:
    names = ["a\nerror: all is lost.jpg", "b\x1b[2J\u202e.jpg", "c\tis fine.jpg"]
    images = dict.fromkeys(names, b"no image") | {name: jpeg(name) for name in NAMES}
    raw = raw_folder(tmp_path / "raw", images)
    message = refused(raw, split="drawn", validation=5, test=5)
    for text in (message, report.read_text().replace("\n", "").replace("\t", "")):
        assert text.isprintable()
    assert len(report.read_text().splitlines()) == len(names)
    assert r"a\nerror: all is lost.jpg" in message


def test_any_names_go_through_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = random.Random(7)
    nasty = "ab /,;\"'\\$%#<&é=-\n\r\t\x00\x1b\x07\x7f\x85"
    nasty += "\u00a0\u200b\u202e\u2028\ufeff\u0301\U0001f600"

    def word() -> str:
        return "".join(letters.choices(nasty, k=letters.randint(1, 12)))

    source = tmp_path / "source"
    names = {f"{number}{word()}.jpg".replace("\0", "") for number in range(60)}
    for name in sorted(names):
        place = source / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(jpeg(name))
    files = [path for path in source.rglob("*") if path.is_file()]
    hidden = [path for path in files if not is_image(path.relative_to(source).as_posix())]
    titles = list(dict.fromkeys(word().strip() or "a" for _ in range(20)))
    images = sorted(path.relative_to(source).as_posix() for path in files if path not in hidden)
    with (source / "list_attr_celeba.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["image_id", *titles], *([name.strip(), *[1] * len(titles)] for name in images)]
        )
    import_dataset(source, tmp_path / "raw")
    write(tmp_path / "raw", tmp_path / "shards", split="drawn", validation=9, test=9)
    assert sorted(row["file_name"] for row in index_of(tmp_path / "shards")) == images
    print(describe(summarize(tmp_path / "shards")))
    out, err = capsys.readouterr()
    said = [line.rpartition("\r")[2] for line in (out + err).split("\n")]
    assert all(line.isprintable() for line in said)
    assert len(out.splitlines()) == 9 + -(-len(titles) // 2)


@pytest.mark.parametrize(
    "file", ["list_eval_partition.csv", "list_attr_celeba.csv", "identity_CelebA.csv"]
)
def test_images_without_a_row_are_refused(tmp_path: Path, file: str) -> None:
    rows = "".join(f"{name},1\n" for name in NAMES[:28])
    raw = raw_folder(tmp_path / "raw", **{file.replace(".", "__"): "image_id,value\n" + rows})
    message = refused(raw)
    assert "12 of 40 images have no row" in message
    assert "000029.jpg, 000030.jpg" in message
    assert "and 2 more" in message


def test_all_bad_images_are_named_with_their_reasons(tmp_path: Path, report: Path) -> None:
    images = {name: jpeg(name) for name in NAMES}
    images[NAMES[4]] = images[NAMES[4]][:3000]
    images[NAMES[11]] = b"<html>not found</html>"
    images[NAMES[20]] = b""
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text())
    message = refused(raw)
    assert "3 of 40 images cannot be used" in message
    assert "000005.jpg (image file is truncated" in message
    assert "000012.jpg (is none of JPEG, PNG" in message
    assert "000021.jpg (the file is empty)" in message
    assert f"{report} lists all" in message
    lines = [line.split("\t") for line in report.read_text().splitlines()]
    assert [name for name, _ in lines] == [NAMES[4], NAMES[11], NAMES[20]]
    assert lines[2][1] == "the file is empty"
    write(raw_folder(tmp_path / "good"), tmp_path / "shards")
    assert not report.exists()


def test_of_many_bad_images_the_first_are_named(tmp_path: Path, report: Path) -> None:
    images = {name: b"x" for name in NAMES}
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text())
    message = refused(raw)
    assert "40 of 40 images" in message
    assert message.count(".jpg (") == 10
    assert message.endswith("and 30 more")
    assert len(report.read_text().splitlines()) == 40


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_bad_images_can_be_left_out(tmp_path: Path, report: Path) -> None:
    names = [*NAMES, "zoë 顔.jpg"]
    images = {name: jpeg(name) for name in names}
    images |= {NAMES[4]: images[NAMES[4]][:3000], NAMES[11]: b"<html>", NAMES[12]: b""}
    # The second shard of validation is the eighth of its images alone.
    assert partition_of(names)[NAMES[38]] == 1
    images[NAMES[38]] = png(Image.new("RGB", (3, 300)))
    images[NAMES[1]] = png(Image.new("LA", (32, 32)))
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt="")
    (raw / "list_eval_partition.txt").unlink()
    (raw / "list_eval_partition.csv").write_text(
        "image_id,partition\n" + "".join(f"{n},{p}\n" for n, p in partition_of(names).items())
    )
    outside = ["../evil.jpg", "/tmp/evil.jpg", "img_align_celeba/a\\..\\evil.jpg", "C:/evil.jpg"]
    with zipfile.ZipFile(raw / "img_align_celeba.zip", "a") as archive:
        for name in outside:
            archive.writestr(name, jpeg("evil"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("img_align_celeba/000003.jpg", jpeg("other"))
    everything = set(tmp_path.rglob("*"))
    manifests = [write(raw, tmp_path / str(n), n, on_bad_image="skip") for n in (1, 3)]
    assert manifests[0] == manifests[1]
    manifest, folder = manifests[0], tmp_path / "1"
    assert set(tmp_path.rglob("*")) - everything == {
        path for n in (1, 3) for path in (tmp_path / str(n), *(tmp_path / str(n)).iterdir())
    }
    skipped = {entry["file_name"]: entry["reason"] for entry in manifest["skipped"]}
    assert list(skipped) == sorted([*outside, NAMES[2], NAMES[4], NAMES[11], NAMES[12], NAMES[38]])
    assert {skipped[name] for name in outside} == {"its name leads out of the archive"}
    assert skipped[NAMES[2]] == "is 2 times in the archive"
    assert skipped[NAMES[38]] == "3x300 pixels are too few"
    assert manifest["converted"] == {"grey": 1, "alpha": 1}
    assert not report.exists()

    kept = [name for name in names if name not in skipped]
    index = index_of(folder)
    assert sorted(row["file_name"] for row in index) == sorted(kept)
    for row in index:
        name = row["file_name"]
        expected = to_square(images[name], size=16, crop=148, filter="area")
        taken = open_split(folder, row["split"]).take(np.array([int(row["row"])]))[0]
        assert np.array_equal(taken, expected)
        assert np.array_equal(np.load(folder / row["shard"])[int(row["offset"])], expected)
    for split, entry in manifest["splits"].items():
        assert entry["images"] == len(file_names(folder, split)) == len(open_split(folder, split))
        for shard in entry["shards"]:
            content = (folder / shard["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == shard["sha256"]
            buffer = io.BytesIO()
            np.save(buffer, np.load(folder / shard["file"]))
            assert buffer.getvalue() == content
    assert [shard["file"] for shard in manifest["splits"]["validation"]["shards"]] == [
        "validation-00000-of-00002.npy"
    ]
    assert not (folder / "validation-00001-of-00002.npy").exists()


def test_a_split_without_a_pair_of_good_images_is_refused(tmp_path: Path) -> None:
    names = NAMES[:10]
    images = {name: jpeg(name) for name in names} | {names[4]: b"x"}
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text(names))
    message = refused(raw, on_bad_image="skip")
    assert "1 of 10 images cannot be used, and without them the split test has fewer" in message


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "a/../../evil.jpg", "\\evil.jpg"])
def test_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    with zipfile.ZipFile(raw / "img_align_celeba.zip", "a") as archive:
        archive.writestr(name, jpeg("evil"))
    message = refused(raw)
    assert "1 of 41 images cannot be used" in message
    assert f"{name} (its name leads out of the archive)" in message


def test_an_archive_of_names_that_lead_outside_is_refused(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", NAMES[:3], prefix="../../")
    assert "holds no images: ../../000001.jpg (its name leads out" in refused(raw)


def damaged(raw: Path, old: bytes, new: bytes, *, times: int = 1) -> Path:
    path = raw / "img_align_celeba.zip"
    content = path.read_bytes()
    assert content.count(old) == times
    path.write_bytes(content.replace(old, new))
    return raw


def test_damage_in_the_archive_is_named(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    flipped = jpeg(NAMES[7])
    damaged(raw, flipped, flipped[:-50] + bytes([flipped[-50] ^ 1]) + flipped[-49:])
    message = refused(raw)
    assert "1 of 40 images" in message
    assert "000008.jpg (is damaged in the archive: Bad CRC-32" in message


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    path = raw / "img_align_celeba.zip"
    content = bytearray(path.read_bytes())
    for signature, name_at, flags_at in ((b"PK\x03\x04", 30, 6), (b"PK\x01\x02", 46, 8)):
        name = b"img_align_celeba/000009.jpg"
        place = content.index(name)
        while content[place - name_at : place - name_at + 4] != signature:
            place = content.index(name, place + 1)
        content[place - name_at + flags_at] |= 1
    path.write_bytes(content)
    assert "000009.jpg (is encrypted)" in refused(raw)


def test_a_member_that_unpacks_to_too_much_is_named(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text([*NAMES, "big.jpg"]))
    path = raw / "img_align_celeba.zip"
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("img_align_celeba/big.jpg", "w") as member,
    ):
        for _ in range(257):
            member.write(bytes(1 << 20))
    assert "big.jpg (has 269484032 bytes" in refused(raw)


@pytest.mark.parametrize("kept", [0, 1000, -10])
def test_an_archive_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    path = raw / "img_align_celeba.zip"
    path.write_bytes(path.read_bytes()[:kept])
    assert "is not a readable zip archive" in refused(raw)


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    with (
        zipfile.ZipFile(raw / "img_align_celeba.zip", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("img_align_celeba/000003.jpg", jpeg("other"))
    assert "000003.jpg (is 2 times in the archive)" in refused(raw)


def test_a_folder_without_a_download_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert "source.json: no such file; run the stage download" in refused(tmp_path / "raw")
    (tmp_path / "raw/source.json").write_text("[]")
    assert "source.json: is damaged, or not a JSON object" in refused(tmp_path / "raw")
    (tmp_path / "raw/source.json").write_text("{}")
    assert "img_align_celeba.zip: no such file" in refused(tmp_path / "raw")
    raw_folder(tmp_path / "raw", {"a.txt": b"no image"})
    assert "holds no images" in refused(tmp_path / "raw")


def test_after_a_kill_the_next_run_writes_the_same_bytes(tmp_path: Path) -> None:
    names = [f"{number:04d}.jpg" for number in range(600)]
    content = jpeg("one")
    raw = raw_folder(tmp_path / "raw", dict.fromkeys(names, content))
    values = params(size=256, shard_images=100)
    folder, whole = tmp_path / "shards", tmp_path / "whole"
    write_shards(raw, whole, params=values, workers=2)
    code = f"""
from pathlib import Path
from celeba_vae.params import PrepareParams
from celeba_vae.shards.write import write_shards
if __name__ == "__main__":
    values = PrepareParams.model_validate({values.model_dump()})
    write_shards(Path({str(raw)!r}), Path({str(folder)!r}), params=values, workers=2)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    for pattern in ("train-*.npy", ".part.*"):
        with subprocess.Popen(
            [sys.executable, script], env=env, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            deadline = time.monotonic() + 60
            while not list(folder.glob(pattern)):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.kill()
        assert not (folder / "manifest.json").exists()
    assert list(folder.glob(".part.*"))
    write_shards(raw, folder, params=values, workers=1)
    left, expected = (
        {path.name: path.read_bytes() for path in place.iterdir()} for place in (folder, whole)
    )
    assert left == expected


SUBSET = os.environ.get("CELEBA_SUBSET", "")


@pytest.mark.skipif(not SUBSET, reason="CELEBA_SUBSET is not set")
def test_real_images_and_their_attributes(tmp_path: Path) -> None:
    """3,000 real images, the rows of their annotations shuffled; 200 are compared."""
    draw = random.Random(3)
    with zipfile.ZipFile(Path(SUBSET) / "img_align_celeba.zip") as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        images = {name: archive.read(name) for name in draw.sample(names, 3000)}
    source = raw_folder(tmp_path / "source", images, prefix="")
    (source / "source.json").unlink()
    lines = (Path(SUBSET) / "list_attr_celeba.txt").read_text().splitlines()
    titles, rows = lines[1].split(), lines[2:]
    draw.shuffle(rows)
    text = "\r\n".join([*lines[:2], *rows]) + "\r\n"
    (source / "list_attr_celeba.txt").write_bytes(text.encode())
    for file in ("list_eval_partition.txt", "identity_CelebA.txt"):
        shutil.copy(Path(SUBSET) / file, source)
    raw, folder = tmp_path / "raw", tmp_path / "shards"
    import_dataset(source, raw)
    manifest = write(raw, folder, 2, size=96, shard_images=512, filter="lanczos")
    assert sum(entry["images"] for entry in manifest["splits"].values()) == 3000
    assert manifest["rows_without_image"] == 202_599 - 3000

    attributes = {row.split()[0]: row.split()[1:] for row in rows}
    splits = dict(map(str.split, (raw / "list_eval_partition.txt").read_text().splitlines()))
    people = dict(map(str.split, (raw / "identity_CelebA.txt").read_text().splitlines()))
    for row in draw.sample(index_of(folder), 200):
        name = row["file_name"]
        with Image.open(io.BytesIO(images[f"img_align_celeba/{name}"])) as image:
            box = image.convert("RGB").crop((15, 35, 163, 183))
            expected = np.asarray(box.resize((96, 96), Image.Resampling.LANCZOS))
        taken = open_split(folder, row["split"]).take(np.array([int(row["row"])]))[0]
        assert np.array_equal(taken, expected)
        assert [row[title] for title in titles] == attributes[name]
        assert NUMBERS[row["split"]] == int(splits[name])
        assert row["identity"] == people[name]
    assert json.loads((raw / "source.json").read_text())["path"] == str(source)
