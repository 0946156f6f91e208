import csv
import hashlib
import io
import json
import os
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from celeba_vae.errors import UserError
from celeba_vae.faces.local import import_dataset
from celeba_vae.params import OFFICIAL_SPLIT, PrepareParams
from celeba_vae.shards.read import file_names, open_split, read_manifest
from celeba_vae.shards.transform import to_square
from celeba_vae.shards.write import drawn_split, write_shards

NAMES = [f"{number:06d}.jpg" for number in range(1, 41)]
NUMBERS = {"train": 0, "validation": 1, "test": 2}


def params(**changes: object) -> PrepareParams:
    values: dict[str, object] = {
        "size": 16,
        "crop": 148,
        "filter": "lanczos",
        "shard_images": 7,
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
    assert (manifest["crop"], manifest["filter"]) == (148, "lanczos")
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
        expected = to_square(jpeg(name), size=16, crop=148, filter="lanczos")
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
        assert np.array_equal(image, to_square(jpeg(name), size=128, crop=148, filter="lanczos"))


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


@pytest.mark.parametrize(
    "prefix", ["", "img_align_celeba/img_align_celeba/", "/abs/", "../../out/", "a ü/顔/"]
)
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


@given(st.text(max_size=30), st.integers(0, 2**32 - 1))
def test_a_drawn_split_is_a_function_of_seed_and_name(name: str, seed: int) -> None:
    assert drawn_split(name, seed) == drawn_split(name, seed)
    assert drawn_split(name, seed) in NUMBERS


def test_drawn_splits_are_pinned() -> None:
    # Another hash or another order would move the images of all who have trained on a split.
    drawn = {name: drawn_split(name, 1) for name in NAMES[:12]}
    assert [NUMBERS[split] for split in drawn.values()] == [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_drawn_splits_have_the_proportions_of_celeba() -> None:
    count = 20_000
    for seed in (0, 1):
        drawn = Counter(drawn_split(f"{number}.jpg", seed) for number in range(count))
        for split, images in zip(NUMBERS, OFFICIAL_SPLIT, strict=True):
            share = images / sum(OFFICIAL_SPLIT)
            # Four standard deviations of a binomial count.
            assert abs(drawn[split] - count * share) < 4 * (count * share * (1 - share)) ** 0.5
    moved = sum(drawn_split(f"{n}.jpg", 0) != drawn_split(f"{n}.jpg", 1) for n in range(1000))
    assert moved > 200


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    raw = raw_folder(
        tmp_path / "a", NAMES[:3], list_eval_partition__txt="".join(f"{n} 0\n" for n in NAMES[:3])
    )
    message = refused(raw)
    assert "no image is in the split validation" in message
    assert "3 train, 0 validation, 0 test" in message
    assert "prepare.seed" in refused(raw_folder(tmp_path / "b", NAMES[:2]))


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


def test_all_bad_images_are_named_with_their_reasons(tmp_path: Path) -> None:
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


def test_of_many_bad_images_the_first_are_named(tmp_path: Path) -> None:
    images = {name: b"x" for name in NAMES}
    raw = raw_folder(tmp_path / "raw", images, list_eval_partition__txt=partition_text())
    message = refused(raw)
    assert "40 of 40 images" in message
    assert message.count(".jpg (") == 10
    assert message.endswith("and 30 more")


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
    assert "is no readable zip archive" in refused(raw)


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", list_eval_partition__txt=partition_text())
    with (
        zipfile.ZipFile(raw / "img_align_celeba.zip", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("img_align_celeba/000003.jpg", jpeg("other"))
    assert "holds img_align_celeba/000003.jpg twice" in refused(raw)


def test_a_folder_without_a_download_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert "source.json: no such file; run the stage download" in refused(tmp_path / "raw")
    (tmp_path / "raw/source.json").write_text("{}")
    assert "img_align_celeba.zip: no such file" in refused(tmp_path / "raw")
    raw_folder(tmp_path / "raw", {"a.txt": b"no image"})
    assert "holds no images" in refused(tmp_path / "raw")


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
    manifest = write(raw, folder, 2, size=96, shard_images=512)
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
