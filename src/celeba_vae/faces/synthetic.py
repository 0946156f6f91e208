"""Synthetic data set: drawn faces in the layout of CelebA's official release."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from celeba_vae.faces.drawing.portrait import draw_face
from celeba_vae.faces.factors import FACTOR_NAMES, attributes_of, row_of, sample
from celeba_vae.faces.layout import (
    ARCHIVE,
    ARCHIVE_FOLDER,
    ATTRIBUTES,
    ATTRIBUTES_FILE,
    FACTORS_FILE,
    IDENTITY_FILE,
    PARTITION_FILE,
    SOURCE_FILE,
    split_counts,
)
from celeba_vae.pool import ordered_map
from celeba_vae.runtime.files import atomic_path, sha256_of, write_json

# Faces that a worker draws at a time: about half a second of work.
BLOCK = 32

JPEG_QUALITY = 92

# The day of CelebA's publication: the archive's bytes may not depend on the clock.
TIMESTAMP = (2015, 9, 29, 0, 0, 0)

# The official annotation files, but not our own, end their lines so.
CRLF = "\r\n"


class _Drawn(NamedTuple):
    jpeg: bytes
    attributes: str
    factors: str


def write_dataset(
    folder: Path, *, images: int, seed: int, workers: int | None, scheduler: str | None = None
) -> None:
    """Draw `images` faces into `folder`, with the annotation files that CelebA has.

    The archive is stored without compression; the annotation files have the official formats,
    line ends included; each face is its own identity. factors.csv holds what each face was
    drawn from, source.json the sha256 of every other file. Face `i` is a pure function of
    `seed` and `i`, so the bytes are the same for any number of workers, and a larger data set
    begins with the faces of a smaller one. Memory does not grow with the number of images.

    Args:
        folder: where to; made if missing.
        images: how many; at least 16, or a split has fewer than two.
        seed: of the faces, 0 or more.
        workers: processes that draw; None for one for each processor.
        scheduler: address of a Dask scheduler whose workers draw instead, see `ordered_map`.
    """
    blocks = [range(start, min(start + BLOCK, images)) for start in range(0, images, BLOCK)]
    results = ordered_map(
        partial(_draw_block, seed),
        blocks,
        workers=workers,
        scheduler=scheduler,
        total=images,
        label="drawing faces",
        unit="faces",
        size=len,
    )
    with ExitStack() as stack:

        def temporary(name: str) -> Path:
            return stack.enter_context(atomic_path(folder / name))

        archive = stack.enter_context(zipfile.ZipFile(temporary(ARCHIVE), "w", zipfile.ZIP_STORED))
        attributes, partition, identity, factors = (
            stack.enter_context(temporary(name).open("w", encoding="utf-8", newline=""))
            for name in (ATTRIBUTES_FILE, PARTITION_FILE, IDENTITY_FILE, FACTORS_FILE)
        )
        archive.writestr(_entry(f"{ARCHIVE_FOLDER}/"), b"")
        attributes.write(f"{images}{CRLF}{' '.join(ATTRIBUTES)} {CRLF}")
        factors.write(",".join(("file_name", *FACTOR_NAMES)) + "\n")
        faces = (face for block in results for face in block)
        for number, (face, split) in enumerate(zip(faces, _splits(images), strict=True), start=1):
            name = f"{number:06d}.jpg"
            archive.writestr(_entry(f"{ARCHIVE_FOLDER}/{name}"), face.jpeg)
            attributes.write(f"{name} {face.attributes}{CRLF}")
            partition.write(f"{name} {split}{CRLF}")
            identity.write(f"{name} {number}{CRLF}")
            factors.write(f"{name},{face.factors}\n")
    names = (ARCHIVE, ATTRIBUTES_FILE, PARTITION_FILE, IDENTITY_FILE, FACTORS_FILE)
    write_json(
        folder / SOURCE_FILE,
        {
            "source": "synthetic",
            "images": images,
            "seed": seed,
            "sha256": {name: sha256_of(folder / name) for name in names},
        },
    )


def _draw_block(seed: int, indices: range) -> list[_Drawn]:
    return [_draw(seed, index) for index in indices]


def _draw(seed: int, index: int) -> _Drawn:
    factors = sample(seed, index)
    buffer = io.BytesIO()
    draw_face(factors).save(buffer, "JPEG", quality=JPEG_QUALITY)
    # CelebA's own spacing: numbers two wide but for the first, one blank between them.
    attributes = " ".join(" 1" if holds else "-1" for holds in attributes_of(factors)).lstrip()
    return _Drawn(buffer.getvalue(), attributes, ",".join(row_of(factors)))


def _splits(images: int) -> Iterator[int]:
    """Yield each face's partition number; as in CelebA, the splits are blocks in their order."""
    for split, count in enumerate(split_counts(images)):
        for _ in range(count):
            yield split


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=TIMESTAMP)
    # As Unix would, wherever this runs: the bytes may not depend on the system.
    entry.create_system = 3
    entry.external_attr = 0o40755 << 16 | 0x10 if name.endswith("/") else 0o100644 << 16
    return entry
