"""Read the images out of the archive, and write them as shards of pixels with an index."""

import csv
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import features
from tqdm import tqdm

from celeba_vae.errors import UserError
from celeba_vae.faces.annotations import Annotations, read_annotations
from celeba_vae.faces.layout import ARCHIVE, SOURCE_FILE, SPLITS
from celeba_vae.faces.local import BROKEN_MEMBER, is_image
from celeba_vae.files import atomic_path, write_json
from celeba_vae.params import OFFICIAL_SPLIT, PrepareParams
from celeba_vae.pool import ordered_map
from celeba_vae.shards.read import INDEX_FILE, MANIFEST_FILE
from celeba_vae.shards.transform import BadImage, to_square

# A task is this many images, or fewer once their files or their pixels exceed the bytes: enough
# work to make passing it to another process cheap, and little memory whatever the images are.
_BLOCK_IMAGES = 128
_BLOCK_BYTES = 4 << 20

# A larger file in the archive is taken for an attack on memory, not for an image.
_MEMBER_BYTES = 256 << 20

_NAMED_IN_ERRORS = 10


@dataclass(frozen=True)
class _Shard:
    """One file to write, and the images in it, in order."""

    file: str
    split: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Block:
    """One task: consecutive images of one shard, each as the file's bytes or why it has none."""

    shard: str
    names: tuple[str, ...]
    contents: tuple[bytes | BadImage, ...]
    size: int
    crop: int | None
    filter: str


@dataclass(frozen=True)
class _Squares:
    """The result of a task: uint8 (n, size, size, 3), and what is wrong with which image."""

    shard: str
    pixels: np.ndarray
    bad: tuple[str, ...]


def write_shards(raw: Path, folder: Path, *, params: PrepareParams, workers: int | None) -> None:
    """Turn the archive and annotations in `raw` into shards, their index and a manifest.

    Writes `SPLIT-00000-of-00004.npy` (uint8, images x size x size x 3; rows sorted by file name),
    `images.csv` (where each image is and what is known of it) and, last, `manifest.json`: a
    folder without a manifest is unfinished. The bytes depend on `raw` and `params` alone, not on
    `workers`. The archive is never unpacked: its members are read, their names written nowhere
    but into the index.

    An image's name is its path below the deepest folder that holds all images. By it the image is
    joined with the annotations and, where there is no partition file, assigned to a split in
    CelebA's proportions, see `drawn_split`. Rows without an image are counted.

    Args:
        raw: the folder that the stage `download` leaves.
        folder: gets the files; earlier shards in it are removed.
        params: size, crop, filter, images per shard, seed of the split.
        workers: processes; None for one on each processor.

    Raises:
        UserError: the archive or an annotation file is damaged, an image cannot be used (all are
            looked at before the error, and nothing is left), an image has no row in an annotation
            file, or a split is empty.
    """
    _clear(folder)
    path = raw / ARCHIVE
    source = _source(raw)
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage download first") from None
    except BROKEN_MEMBER as error:
        raise UserError(f"{path}: is no readable zip archive: {error}") from None
    with archive:
        members = _images(archive)
        annotations = read_annotations(raw)
        unused = _rows_without_image(members, annotations)
        shards = _planned(_splits(members, annotations.partition, params.seed), params)
        blocks = _blocks(archive, members, shards, params)
        try:
            sums = _write_pixels(folder, shards, blocks, params.size, workers, path)
        except BaseException:
            _clear(folder)
            raise
    _write_index(folder, shards, annotations)
    manifest = {
        "image_shape": [params.size, params.size, 3],
        "crop": params.crop,
        "filter": params.filter,
        "splits": _summary(shards, sums),
        "source": source,
        "rows_without_image": unused,
        # What decides the pixels beside the code and the parameters.
        "versions": {
            "pillow": PIL.__version__,
            "libjpeg_turbo": features.version("libjpeg_turbo"),
            "numpy": np.__version__,
        },
    }
    write_json(folder / MANIFEST_FILE, manifest)


def drawn_split(name: str, seed: int) -> str:
    """Return the split of an image for which no partition file speaks.

    It is drawn from a hash of seed and name alone, so other images do not move it; each split's
    probability is its share of CelebA's 202,599 images.
    """
    draw = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")
    place = draw * sum(OFFICIAL_SPLIT) >> 64
    for split, images in zip(SPLITS, OFFICIAL_SPLIT, strict=True):
        if place < images:
            return split
        place -= images
    raise AssertionError("a draw lies below the sum of the splits")


def _clear(folder: Path) -> None:
    # The manifest goes first: it is what says that the others are whole.
    for pattern in (MANIFEST_FILE, INDEX_FILE, "*-?????-of-?????.npy"):
        for path in folder.glob(pattern):
            with suppress(FileNotFoundError):
                path.unlink()


def _source(raw: Path) -> dict[str, Any]:
    path = raw / SOURCE_FILE
    try:
        source = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage download first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    # The path is a place on one machine; the same images elsewhere make the same shards.
    return {key: value for key, value in source.items() if key != "path"}


def _images(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the image members by name, sorted; names are relative to their common folder."""
    infos = [info for info in archive.infolist() if is_image(info.filename)]
    if not infos:
        raise UserError(f"{archive.filename}: holds no images")
    parents = [info.filename.split("/")[:-1] for info in infos]
    # The first and the last in order have in common what all have in common.
    pairs = zip(min(parents), max(parents), strict=False)
    depth = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = "/".join(info.filename.split("/")[depth:])
        if name in members:
            raise UserError(f"{archive.filename}: holds {info.filename} twice")
        members[name] = info
    return dict(sorted(members.items()))


def _rows_without_image(members: Mapping[str, Any], annotations: Annotations) -> int:
    """Count the annotated names without an image, and refuse images without annotation."""
    unused: set[str] = set()
    for kind, rows in annotations.tables().items():
        missing = [name for name in members if name not in rows]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(members)} images have no row in the file of the "
                f"{kind}: {_first_few(missing)}"
            )
        unused.update(name for name in rows if name not in members)
    if unused:
        tqdm.write(
            f"annotations of {len(unused)} images that are not in the archive: not used",
            file=sys.stderr,
        )
    return len(unused)


def _splits(
    members: Iterable[str], partition: Mapping[str, int] | None, seed: int
) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in members:
        split = drawn_split(name, seed) if partition is None else SPLITS[partition[name]]
        splits[split].append(name)
    for split, names in splits.items():
        if not names:
            counts = ", ".join(f"{len(names)} {split}" for split, names in splits.items())
            reason = (
                "as drawn from prepare.seed and the file names; bring more images, or a partition "
                "file"
                if partition is None
                else "by the partition file; each split needs an image"
            )
            raise UserError(f"no image is in the split {split} ({counts}, {reason})")
    return splits


def _planned(splits: Mapping[str, Sequence[str]], params: PrepareParams) -> list[_Shard]:
    shards = []
    for split, names in splits.items():
        starts = range(0, len(names), params.shard_images)
        for number, start in enumerate(starts):
            file = f"{split}-{number:05d}-of-{len(starts):05d}.npy"
            shards.append(_Shard(file, split, tuple(names[start : start + params.shard_images])))
    return shards


def _blocks(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    shards: Iterable[_Shard],
    params: PrepareParams,
) -> Iterator[_Block]:
    # The archive is read here and not by the workers: its directory of 202,599 entries takes a
    # second to read and 100 MB to keep, and reading a member takes a thirtieth of preparing it.
    most = max(1, min(_BLOCK_IMAGES, _BLOCK_BYTES // (params.size**2 * 3)))
    for shard in shards:
        names: list[str] = []
        contents: list[bytes | BadImage] = []
        weight = 0
        for name in shard.names:
            content = _content(archive, members[name])
            names.append(name)
            contents.append(content)
            weight += len(content) if isinstance(content, bytes) else 0
            if len(names) == most or weight >= _BLOCK_BYTES or name == shard.names[-1]:
                yield _Block(
                    shard.file,
                    tuple(names),
                    tuple(contents),
                    params.size,
                    params.crop,
                    params.filter,
                )
                names, contents, weight = [], [], 0


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | BadImage:
    if info.flag_bits & 1:
        return BadImage("is encrypted")
    if info.file_size > _MEMBER_BYTES:
        return BadImage(f"has {info.file_size} bytes, more than {_MEMBER_BYTES}")
    try:
        return archive.read(info)
    except BROKEN_MEMBER as error:
        return BadImage(f"is damaged in the archive: {' '.join(str(error).split())}")


def _squares(block: _Block) -> _Squares:
    """Decode and resize the images of a block; runs in a worker process."""
    pixels = np.zeros((len(block.names), block.size, block.size, 3), np.uint8)
    bad = []
    for row, (name, content) in enumerate(zip(block.names, block.contents, strict=True)):
        try:
            if isinstance(content, BadImage):
                raise content
            pixels[row] = to_square(content, size=block.size, crop=block.crop, filter=block.filter)
        except BadImage as error:
            bad.append(f"{name} ({error})")
    return _Squares(block.shard, pixels, tuple(bad))


def _write_pixels(
    folder: Path,
    shards: Sequence[_Shard],
    blocks: Iterator[_Block],
    size: int,
    workers: int | None,
    archive: Path,
) -> dict[str, str]:
    """Write the shards and return the sha256 of each by its name."""
    images = {shard.file: len(shard.names) for shard in shards}
    total = sum(images.values())
    results = ordered_map(
        _squares,
        blocks,
        workers=workers,
        total=total,
        label="prepare",
        unit="images",
        size=lambda block: len(block.names),
    )
    bad: list[str] = []
    sums = {}
    for file, squares in groupby(results, key=lambda result: result.shard):
        with atomic_path(folder / file) as temporary, temporary.open("wb") as out:
            sums[file] = _write_npy(out, (images[file], size, size, 3), squares, bad)
    if bad:
        raise UserError(
            f"{archive}: {len(bad)} of {total} images cannot be used: {_first_few(bad)}"
        )
    return sums


def _write_npy(
    out: BinaryIO, shape: tuple[int, ...], squares: Iterable[_Squares], bad: list[str]
) -> str:
    """Write an array block by block in the format of np.save, and return the file's sha256."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    digest = hashlib.sha256(header.getvalue())
    out.write(header.getvalue())
    for result in squares:
        bad.extend(result.bad)
        digest.update(result.pixels.data)
        out.write(result.pixels.data)
    return digest.hexdigest()


def _write_index(folder: Path, shards: Iterable[_Shard], annotations: Annotations) -> None:
    header = ["row", "shard", "offset", "file_name", "split", "identity"]
    header += annotations.attribute_names
    header += [f"factor_{name}" for name in annotations.factor_names]
    identity = annotations.identity or {}
    attributes = annotations.attributes or {}
    factors = annotations.factors or {}
    next_row = dict.fromkeys(SPLITS, 0)
    with (
        atomic_path(folder / INDEX_FILE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for shard in shards:
            for offset, name in enumerate(shard.names):
                place = (next_row[shard.split], shard.file, offset, name, shard.split)
                known = (*attributes.get(name, ()), *factors.get(name, ()))
                table.writerow((*place, identity.get(name, ""), *known))
                next_row[shard.split] += 1


def _summary(shards: Sequence[_Shard], sums: Mapping[str, str]) -> dict[str, Any]:
    summary = {}
    for split in SPLITS:
        own = [shard for shard in shards if shard.split == split]
        summary[split] = {
            "images": sum(len(shard.names) for shard in own),
            "shards": [
                {"file": shard.file, "images": len(shard.names), "sha256": sums[shard.file]}
                for shard in own
            ],
        }
    return summary


def _first_few(items: Sequence[str]) -> str:
    more = len(items) - _NAMED_IN_ERRORS
    return ", ".join(items[:_NAMED_IN_ERRORS]) + (f" and {more} more" if more > 0 else "")
