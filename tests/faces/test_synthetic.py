import csv
import hashlib
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

from celeba_vae.faces import factors as words
from celeba_vae.faces.drawing.portrait import draw_face
from celeba_vae.faces.factors import FACTOR_NAMES, Factors, attributes_of, row_of, sample
from celeba_vae.faces.layout import (
    ARCHIVE,
    ARCHIVE_FOLDER,
    ATTRIBUTES,
    ATTRIBUTES_FILE,
    FACTORS_FILE,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    IDENTITY_FILE,
    PARTITION_FILE,
    SOURCE_FILE,
    split_counts,
)
from celeba_vae.faces.synthetic import write_dataset
from celeba_vae.runtime.files import sha256_of

IMAGES = 70
FILES = (ARCHIVE, ATTRIBUTES_FILE, PARTITION_FILE, IDENTITY_FILE, FACTORS_FILE, SOURCE_FILE)

# A face on which every factor can be seen: nothing hides hair, brows, ears or neck.
PLAIN = Factors(
    sex="male", age=0.2, skin_tone=0.3, blush=0.2, head_width=0.0, chin_length=0.0, jaw=0.0,
    hair_style="short", hair_colour="brown", hair_shade=0.0, hair_volume=0.0, hair_parting=0.0,
    bangs=False, brow_thickness=0.0, brow_height=0.0, brow_tilt=0.0, eye_colour="blue",
    eye_size=0.0, eye_openness=0.8, gaze_x=0.0, gaze_y=0.0, nose_width=0.0, nose_length=0.0,
    mouth_width=0.0, lip_fullness=0.0, smile=0.0, mouth_open=0.0, lipstick="none", beard="none",
    glasses="none", hat="none", hat_hue=0.1, earrings="none", yaw=-10.0, roll=-2.0, light_x=0.0,
    light_y=-0.3, background_warmth=0.6, background_light=0.5, background_slope=0.0,
    clothes_hue=0.3, clothes_light=0.5,
)  # fmt: skip

CHOICES = {
    "sex": words.SEXES,
    "hair_style": words.HAIR_STYLES,
    "hair_colour": words.HAIR_COLOURS,
    "eye_colour": words.EYE_COLOURS,
    "lipstick": words.LIPSTICKS,
    "beard": words.BEARDS,
    "glasses": words.GLASSES,
    "hat": words.HATS,
    "earrings": words.EARRINGS,
    "bangs": (False, True),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, images=IMAGES, seed=5, workers=1)
    return folder


def lines_of(path: Path) -> list[str]:
    content = path.read_bytes().decode()
    assert content.count("\r\n") == content.count("\n")
    return content.split("\r\n")[:-1]


def factors_of(row: dict[str, str]) -> Factors:
    values: dict[str, Any] = {}
    for field in fields(Factors):
        cell = row[field.name]
        if field.type is bool:
            values[field.name] = {"yes": True, "no": False}[cell]
        else:
            values[field.name] = float(cell) if field.type is float else cell
    return Factors(**values)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / FACTORS_FILE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(factors: Factors) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(draw_face(factors)).astype(np.int64)


def test_any_number_of_workers_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, images=IMAGES, seed=5, workers=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (dataset / name).read_bytes(), name


def test_a_larger_set_begins_with_the_smaller_and_seeds_differ(
    dataset: Path, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "small", images=11, seed=5, workers=1)
    write_dataset(tmp_path / "other", images=11, seed=6, workers=1)
    with (
        zipfile.ZipFile(dataset / ARCHIVE) as large,
        zipfile.ZipFile(tmp_path / "small" / ARCHIVE) as small,
        zipfile.ZipFile(tmp_path / "other" / ARCHIVE) as other,
    ):
        for name in small.namelist()[1:]:
            assert small.read(name) == large.read(name)
            assert small.read(name) != other.read(name)


def test_a_plainer_processor_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from celeba_vae.faces.drawing.portrait import draw_face;"
        "from celeba_vae.faces.factors import row_of, sample;"
        "digest = hashlib.sha256();"
        "[digest.update(repr(row_of(sample(9, i))).encode() + draw_face(sample(9, i)).tobytes())"
        " for i in range(40)];"
        "import io; jpeg = io.BytesIO(); draw_face(sample(9, 0)).save(jpeg, 'JPEG', quality=92);"
        "digest.update(jpeg.getvalue()); print(digest.hexdigest())"
    )
    umath: Any = importlib.import_module("numpy._core._multiarray_umath")
    optional = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
    if not optional:
        pytest.skip("NumPy has nothing to switch off on this processor")
    plain = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(optional),
        "JSIMD_FORCENONE": "1",  # libjpeg-turbo's switch
        # glibc's: its sine and cosine come in variants with and without fused multiply-add.
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX,-AVX512F",
    }
    digests = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **extra},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for extra in ({}, plain)
    }
    assert len(digests) == 1


def test_archive_has_the_official_layout(dataset: Path) -> None:
    with zipfile.ZipFile(dataset / ARCHIVE) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
        with Image.open(io.BytesIO(archive.read(entries[-1]))) as image:
            assert (image.format, image.mode, image.size) == (
                "JPEG",
                "RGB",
                (FRAME_WIDTH, FRAME_HEIGHT),
            )
    assert [entry.filename for entry in entries] == [
        f"{ARCHIVE_FOLDER}/",
        *(f"{ARCHIVE_FOLDER}/{number:06d}.jpg" for number in range(1, IMAGES + 1)),
    ]
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(2015, 9, 29, 0, 0, 0)}


def test_annotation_files_have_the_official_formats(dataset: Path) -> None:
    count, header, *rows = lines_of(dataset / ATTRIBUTES_FILE)
    assert count == str(IMAGES)
    assert header == " ".join(ATTRIBUTES) + " "
    names = [f"{number:06d}.jpg" for number in range(1, IMAGES + 1)]
    assert [row.split()[0] for row in rows] == names
    for row in rows:
        cells = row.split()[1:]
        assert len(cells) == 40
        assert set(cells) <= {"1", "-1"}
        # As in the official file: numbers two wide, but the first not padded.
        assert row == f"{row.split()[0]} " + " ".join(f"{int(c):2d}" for c in cells).lstrip()
    numbered = list(enumerate(names, start=1))
    assert lines_of(dataset / IDENTITY_FILE) == [f"{name} {number}" for number, name in numbered]
    train, validation, test = split_counts(IMAGES)
    splits = [0] * train + [1] * validation + [2] * test
    assert lines_of(dataset / PARTITION_FILE) == [
        f"{name} {split}" for name, split in zip(names, splits, strict=True)
    ]


def test_attributes_agree_with_factors(dataset: Path) -> None:
    _, _, *rows = lines_of(dataset / ATTRIBUTES_FILE)
    seen: dict[str, set[bool]] = {name: set() for name in ATTRIBUTES}
    for row, truth in zip(rows, rows_of(dataset), strict=True):
        assert row.split()[0] == truth["file_name"]
        has = {name: cell == "1" for name, cell in zip(ATTRIBUTES, row.split()[1:], strict=True)}
        assert has["Eyeglasses"] == (truth["glasses"] != "none")
        assert has["Wearing_Hat"] == (truth["hat"] != "none")
        assert has["Male"] == (truth["sex"] == "male")
        assert has["No_Beard"] == (truth["beard"] == "none")
        assert has["Goatee"] == (truth["beard"] == "goatee")
        assert has["Smiling"] == (float(truth["smile"]) > 0.25)
        assert has["Bald"] == (truth["hair_style"] == "bald")
        assert has["Wavy_Hair"] == (truth["hair_style"] == "wavy")
        assert has["Blond_Hair"] == (truth["hair_colour"] == "blond" and not has["Bald"])
        assert has["Wearing_Lipstick"] == (truth["lipstick"] != "none")
        assert not (has["Bangs"] and has["Wearing_Hat"])
        for name, holds in has.items():
            seen[name].add(holds)
    for name in ("Eyeglasses", "Wearing_Hat", "Male", "No_Beard", "Smiling", "Wavy_Hair"):
        assert seen[name] == {True, False}, name


def test_every_stated_attribute_has_its_official_name() -> None:
    everything = [
        replace(PLAIN, beard=beard, hair_style=style, hair_colour=colour)
        for beard, style, colour in zip(
            (*words.BEARDS, *words.BEARDS), words.HAIR_STYLES, words.HAIR_COLOURS * 2, strict=False
        )
    ]
    high = replace(
        PLAIN, sex="female", bangs=True, brow_height=1.0, brow_thickness=1.0, lip_fullness=1.0,
        nose_width=1.0, glasses="round", mouth_open=0.5, eye_openness=0.4, jaw=-1.0,
        head_width=-1.0, skin_tone=0.0, blush=1.0, smile=1.0, earrings="hoop", lipstick="red",
    )  # fmt: skip
    ever = np.any([attributes_of(f) for f in (*everything, high, replace(high, hat="cap"))], axis=0)
    unknowable = {
        "Attractive", "Bags_Under_Eyes", "Blurry", "Chubby", "Double_Chin", "Heavy_Makeup",
        "High_Cheekbones", "Pointy_Nose", "Receding_Hairline", "Wearing_Necklace",
        "Wearing_Necktie", "Young",
    }  # fmt: skip
    assert {name for name, known in zip(ATTRIBUTES, ever, strict=True) if not known} == unknowable


def test_factors_csv_draws_the_archive_again(dataset: Path) -> None:
    rows = rows_of(dataset)
    assert tuple(rows[0]) == ("file_name", *FACTOR_NAMES)
    with zipfile.ZipFile(dataset / ARCHIVE) as archive:
        for index in (0, 33, IMAGES - 1):
            truth = factors_of(rows[index])
            assert truth == sample(5, index)
            jpeg = io.BytesIO()
            draw_face(truth).save(jpeg, "JPEG", quality=92)
            name = f"{ARCHIVE_FOLDER}/{rows[index]['file_name']}"
            assert archive.read(name) == jpeg.getvalue()


def test_source_json_names_every_file_and_its_hash(dataset: Path) -> None:
    source = json.loads((dataset / SOURCE_FILE).read_text())
    assert {key: source[key] for key in ("source", "images", "seed")} == {
        "source": "synthetic",
        "images": IMAGES,
        "seed": 5,
    }
    assert source["sha256"] == {
        name: sha256_of(dataset / name) for name in FILES if name != SOURCE_FILE
    }


def test_nothing_is_left_when_the_disk_is_full(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_dataset(tmp_path, images=IMAGES, seed=1, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FACTOR_NAMES)
def test_every_factor_moves_pixels(name: str) -> None:
    base = replace(PLAIN, hat="cap") if name == "hat_hue" else PLAIN
    value = getattr(base, name)
    others = CHOICES[name] if name in CHOICES else (min(1.0, value + 0.6),)
    pictures = [draw_face(base)]
    changes: list[dict[str, Any]] = [{name: other} for other in others if other != value]
    pictures += [draw_face(replace(base, **change)) for change in changes]
    digests = {hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures}
    assert len(digests) == len(pictures)
    for picture in pictures[1:]:
        changed = np.asarray(ImageChops.difference(pictures[0], picture)).max(axis=-1)
        assert (changed > 8).sum() >= 8, name


def test_eyes_are_where_celeba_has_them() -> None:
    """Where the pictures of looking left and looking right differ, there are the eyes."""
    for index in range(30):
        face = replace(sample(3, index), glasses="none", gaze_y=0.0, eye_openness=1.0)
        left, right = (pixels(replace(face, gaze_x=gaze)) for gaze in (-1.0, 1.0))
        rows, columns = np.nonzero(np.abs(left - right).sum(axis=-1) > 30)
        for x in (69, 108):
            near = np.abs(columns - x) <= 15
            assert near.sum() > 10
            assert abs((columns[near].min() + columns[near].max()) / 2 - x) <= 3.0
            assert abs((rows[near].min() + rows[near].max()) / 2 - 111) <= 4.0
        assert (np.minimum(np.abs(columns - 69), np.abs(columns - 108)) <= 15).all()


def test_eyes_have_dark_pupils_and_white_sides() -> None:
    for index in range(30):
        face = replace(sample(4, index), glasses="none", gaze_x=0.0, gaze_y=0.0, eye_openness=1.0)
        grey = pixels(face).mean(axis=-1)
        for x in (69, 108):
            assert grey[108:115, x - 3 : x + 4].min() < 60
            assert grey[106:116, x - 10 : x + 11].max() > 190


def test_mouth_is_where_celeba_has_it() -> None:
    bare = replace(PLAIN, sex="female", yaw=0.0, roll=0.0)
    changed = np.abs(pixels(bare) - pixels(replace(bare, lipstick="red"))).sum(axis=-1) > 30
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 152) <= 3
    assert abs(columns.mean() - 88.5) <= 1


def test_sampled_factors_stay_in_their_words_and_digits() -> None:
    for index in range(200):
        face = sample(1, index)
        for name, allowed in CHOICES.items():
            assert getattr(face, name) in allowed
        for name, cell in zip(FACTOR_NAMES, row_of(face), strict=True):
            value = getattr(face, name)
            if isinstance(value, float):
                assert float(cell) == value
                assert abs(value) <= {"yaw": 24.0, "roll": 4.0}.get(name, 1.0)
        assert face.sex == "male" or face.beard == "none"
        assert face.sex == "female" or face.lipstick == "none"
