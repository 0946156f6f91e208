"""Shards: images out of the archive, cut and resized, as arrays of pixels with an index."""

import hashlib
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import features
from tqdm import tqdm

from celeba_vae.faces.annotations import Annotations, read_annotations
from celeba_vae.faces.layout import ARCHIVE, ATTRIBUTES, SOURCE_FILE, SPLITS
from celeba_vae.faces.local import BROKEN_MEMBER, MEMBER_BYTES, is_image
from celeba_vae.params import PrepareParams
from celeba_vae.pool import ordered_map
from celeba_vae.runtime.errors import UserError, printable, reason_of
from celeba_vae.runtime.files import atomic_path, sha256_of, write_csv, write_json, write_text
from celeba_vae.runtime.reading import read_object
from celeba_vae.runtime.scratch import scratch_folder
from celeba_vae.shards.read import (
    FACTOR_PREFIX,
    INDEX_COLUMNS,
    INDEX_FILE,
    MANIFEST_FILE,
    is_attribute,
)
from celeba_vae.shards.splits import SMALLEST_SPLIT, assign_splits
from celeba_vae.shards.transform import CONVERSIONS, BadImage, cut_square, decode

# A task is this many images, or fewer once their files or their pixels exceed the bytes: enough
# work to make passing it to another process cheap, and little memory whatever the images are.
_BLOCK_IMAGES = 128
_BLOCK_BYTES = 4 << 20

_NAMED_IN_ERRORS = 10

_REPORT_FILE = "bad_images.txt"

# Any of these could lead out of a folder, by the rules of some system, if a member were unpacked.
_OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)", re.DOTALL)


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
    """The result of a task: the images that can be used, and what is wrong with the others.

    The pixels are uint8 (size, size, 3) of each image. They are kept apart because a single
    array of some megabytes costs three times as much to pass on: the system hands out, and clears,
    its memory anew each time.
    """

    shard: str
    names: tuple[str, ...]
    pixels: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    bad: tuple[tuple[str, str], ...]
    converted: Counter[str]


@dataclass
class _Notes:
    """What is noted on the way.

    Attributes:
        bad: (name, reason) of each bad image.
        converted: how many images needed a conversion.
        copies: by (split, of), how many images of a split have the pixels of one of an earlier
            split, or of an earlier one of the same split.
        seen: the splits in which the pixels of a digest are.
    """

    bad: list[tuple[str, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)
    copies: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: dict[bytes, tuple[str, ...]] = field(default_factory=dict)

    def count_copies(self, split: str, digests: Iterable[bytes]) -> None:
        """Note the pixels of the next images of a split."""
        for digest in digests:
            before = self.seen.get(digest, ())
            self.copies.update((split, of) for of in before)
            if split not in before:
                self.seen[digest] = (*before, split)


def write_shards(
    raw: Path,
    folder: Path,
    *,
    params: PrepareParams,
    workers: int | None,
    scheduler: str | None = None,
) -> None:
    """Turn the archive and annotations in `raw` into shards, their index and a manifest.

    Writes `SPLIT-00000-of-00004.npy` (uint8, images x size x size x 3; rows sorted by file name),
    `images.csv` (where each image is and what is known of it) and, last, `manifest.json`: a
    folder without a manifest is unfinished. The bytes depend on `raw` and `params` alone, not on
    who works. The archive is never unpacked: its members are read, their names written nowhere
    but into the index.

    An image's name is its path below the deepest folder that holds all images. By it the image is
    joined with the annotations and, where the split is drawn, assigned to a split. Rows without
    an image are counted.

    Bad images are those that `transform.decode` refuses, members that are damaged or encrypted,
    names that occur more than once, and names that are absolute or hold `..`. With
    `params.on_bad_image` skip they are left out and listed in the manifest: the shard that a bad
    image would be in is shorter (missing, if all of its images are bad), and no other is changed.

    Images whose pixels are those of another are said and counted in the manifest, where there are
    some: `copies` holds, by split, how many have the pixels of an image of an earlier split, or of
    an earlier one of the same split.

    Args:
        raw: the folder that the stage `download` leaves.
        folder: gets the files; what an earlier run left in it, also if it was killed, is removed.
        params: how to cut and resize, the split, what to do about bad images.
        workers: processes; None for one on each processor.
        scheduler: address of a Dask scheduler that works instead, see `pool.ordered_map`.

    Raises:
        UserError: the archive or an annotation file is damaged, an image is bad (all are looked
            at before the error, and a report in the scratch folder names each), an image has no
            row in an annotation file, the split is impossible, or one has too few images.
    """
    _clear(folder)
    report = scratch_folder("prepare") / _REPORT_FILE
    report.unlink(missing_ok=True)
    path = raw / ARCHIVE
    source = _source(raw)
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage download first") from None
    except BROKEN_MEMBER as error:
        raise UserError(f"{path}: is not a readable zip archive: {reason_of(error)}") from None
    notes = _Notes()
    try:
        with archive:
            members = _images(archive, notes)
            images = len(members) + len(notes.bad)
            annotations = read_annotations(raw, is_free=is_attribute)
            unused = _rows_without_image(members, annotations)
            _tell_unknown(annotations.attribute_names)
            header = _index_header(annotations)
            splits = assign_splits(
                list(members),
                partition=annotations.partition,
                identity=annotations.identity,
                content={name: f"{info.CRC} {info.file_size}" for name, info in members.items()},
                params=params,
            )
            planned = _planned(splits, params)
            blocks = _blocks(archive, members, planned, params)
            results = ordered_map(
                _squares,
                blocks,
                workers=workers,
                scheduler=scheduler,
                total=len(members),
                label="prepare",
                unit="images",
                size=lambda block: len(block.names),
            )
            shards, sums = _write_pixels(folder, planned, results, params.size, notes)
        notes.bad.sort()
        _judge_bad(notes, shards, params, total=images, archive=path, report=report)
        _tell_copies(notes.copies)
    except BaseException:
        _clear(folder)
        raise
    write_csv(folder / INDEX_FILE, header, _index_rows(shards, annotations))
    manifest = {
        "image_shape": [params.size, params.size, 3],
        "crop": params.crop,
        "filter": params.filter,
        "splits": _summary(shards, sums),
        "source": source,
        "rows_without_image": unused,
        "converted": {kind: notes.converted[kind] for kind in CONVERSIONS if notes.converted[kind]},
        "skipped": [{"file_name": name, "reason": reason} for name, reason in notes.bad],
        **({"copies": _copies_by_split(notes.copies)} if notes.copies else {}),
        # What decides the pixels beside the code and the parameters.
        "versions": {
            "pillow": PIL.__version__,
            "libjpeg_turbo": features.version("libjpeg_turbo"),
            "numpy": np.__version__,
            # simplejpeg brings a libjpeg-turbo of its own.
            "simplejpeg": version("simplejpeg"),
            "opencv": version("opencv-python-headless"),
        },
    }
    write_json(folder / MANIFEST_FILE, manifest)


def _clear(folder: Path) -> None:
    # The manifest goes first: it is what says that the others are whole.
    for pattern in (MANIFEST_FILE, INDEX_FILE, "*-?????-of-?????.npy", ".part.*"):
        for path in folder.glob(pattern):
            with suppress(FileNotFoundError):
                path.unlink()


def _source(raw: Path) -> dict[str, Any]:
    source = read_object(raw / SOURCE_FILE, fix="run the stage download first")
    # The path is a place on one machine; the same images elsewhere make the same shards.
    return {key: value for key, value in source.items() if key != "path"}


def _images(archive: zipfile.ZipFile, notes: _Notes) -> dict[str, zipfile.ZipInfo]:
    """Return the image members by name, sorted; names are relative to their common folder.

    Members whose name leads outside or occurs more than once are noted as bad and left out.
    """
    infos = []
    for info in archive.infolist():
        if is_image(info.filename):
            if _OUTSIDE.match(info.filename):
                notes.bad.append((info.filename, "its name leads out of the archive"))
            else:
                infos.append(info)
    parents = [info.filename.split("/")[:-1] for info in infos]
    # The first and the last in order have in common what all have in common.
    pairs = zip(min(parents, default=[]), max(parents, default=[]), strict=False)
    depth = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    members: dict[str, zipfile.ZipInfo] = {}
    times: Counter[str] = Counter()
    for info in infos:
        name = "/".join(info.filename.split("/")[depth:])
        members[name] = info
        times[name] += 1
    for name, count in times.items():
        if count > 1:
            del members[name]
            notes.bad.append((name, f"is {count} times in the archive"))
    if not members:
        reasons = ": " + _listed(notes.bad) if notes.bad else ""
        raise UserError(f"{archive.filename}: holds no images{reasons}")
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
        _tell(f"annotations of {len(unused)} images that are not in the archive: not used")
    return len(unused)


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
    if info.file_size > MEMBER_BYTES:
        return BadImage(f"has {info.file_size} bytes, more than {MEMBER_BYTES}")
    try:
        return archive.read(info)
    except BROKEN_MEMBER as error:
        return BadImage(f"is damaged in the archive: {' '.join(str(error).split())}")


def _squares(block: _Block) -> _Squares:
    """Decode and resize the images of a block; runs in a worker process."""
    names, pixels, digests, bad = [], [], [], []
    converted: Counter[str] = Counter()
    for name, content in zip(block.names, block.contents, strict=True):
        try:
            if isinstance(content, BadImage):
                raise content
            image, conversions = decode(content)
        except BadImage as error:
            bad.append((name, str(error)))
            continue
        square = cut_square(image, size=block.size, crop=block.crop, filter=block.filter)
        names.append(name)
        pixels.append(square.tobytes())
        digests.append(hashlib.blake2b(pixels[-1], digest_size=16).digest())
        converted.update(conversions)
    return _Squares(block.shard, tuple(names), tuple(pixels), tuple(digests), tuple(bad), converted)


def _write_pixels(
    folder: Path,
    planned: Iterable[_Shard],
    results: Iterable[_Squares],
    size: int,
    notes: _Notes,
) -> tuple[list[_Shard], dict[str, str]]:
    """Write the shards; return them with the images that are in them, and the sha256 of each."""
    shards, sums = [], {}
    of_file = groupby(results, key=lambda result: result.shard)
    for shard, (_, squares) in zip(planned, of_file, strict=True):
        names: list[str] = []
        with atomic_path(folder / shard.file) as temporary:
            with temporary.open("wb") as out:
                _write_header(out, (len(shard.names), size, size, 3))
                for result in squares:
                    out.writelines(result.pixels)
                    names.extend(result.names)
                    notes.bad.extend(result.bad)
                    notes.count_copies(shard.split, result.digests)
                    notes.converted.update(result.converted)
                # As long as the first one: NumPy leaves room for any number of rows.
                out.seek(0)
                _write_header(out, (len(names), size, size, 3))
            sums[shard.file] = sha256_of(temporary)
        if names:
            shards.append(replace(shard, names=tuple(names)))
        else:
            (folder / shard.file).unlink()
    return shards, sums


def _write_header(out: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        out, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _judge_bad(
    notes: _Notes,
    shards: Sequence[_Shard],
    params: PrepareParams,
    *,
    total: int,
    archive: Path,
    report: Path,
) -> None:
    """Refuse bad images where they are not to be skipped, and splits that have too few others."""
    if not notes.bad:
        return
    found = f"{len(notes.bad)} of {total} images"
    few = _listed(notes.bad)
    if params.on_bad_image == "fail":
        lines = (f"{printable(name)}\t{printable(reason)}\n" for name, reason in notes.bad)
        write_text(report, "".join(lines))
        raise UserError(
            f"{archive}: {found} cannot be used, {report} lists all, prepare.on_bad_image=skip "
            f"leaves them out: {few}"
        )
    for split in SPLITS:
        left = sum(len(shard.names) for shard in shards if shard.split == split)
        if left < SMALLEST_SPLIT:
            raise UserError(
                f"{archive}: {found} cannot be used, and without them the split {split} has fewer "
                f"than {SMALLEST_SPLIT}: {few}"
            )
    _tell(f"{found} cannot be used and are left out: {few}")


def _tell_copies(copies: Mapping[tuple[str, str], int]) -> None:
    if not copies:
        return
    found = ", ".join(
        f"{count} of {split} those of {'others of ' if split == of else ''}{of}"
        for (split, of), count in copies.items()
    )
    apart = any(split != of for split, of in copies)
    advice = "; prepare.split=drawn with prepare.split_by=content keeps equal files in one split"
    _tell(f"images with the very pixels of other images: {found}{advice if apart else ''}")


def _copies_by_split(copies: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    by_split: dict[str, dict[str, int]] = {}
    for split, of in sorted(copies, key=lambda pair: [SPLITS.index(name) for name in pair]):
        by_split.setdefault(split, {})[of] = copies[split, of]
    return by_split


def _tell(text: str) -> None:
    tqdm.write(printable(text), file=sys.stderr)


def _tell_unknown(attributes: Iterable[str]) -> None:
    own = [name for name in attributes if name not in ATTRIBUTES]
    if own:
        _tell(
            f"{len(own)} attributes that CelebA does not have are kept in {INDEX_FILE}, but no "
            f"later stage uses them: {_first_few(own)}"
        )


def _index_header(annotations: Annotations) -> list[str]:
    factors = [f"{FACTOR_PREFIX}{name}" for name in annotations.factor_names]
    return [*INDEX_COLUMNS, *annotations.attribute_names, *factors]


def _index_rows(shards: Iterable[_Shard], annotations: Annotations) -> Iterator[tuple[object, ...]]:
    identity = annotations.identity or {}
    attributes = annotations.attributes or {}
    factors = annotations.factors or {}
    next_row = dict.fromkeys(SPLITS, 0)
    for shard in shards:
        for offset, name in enumerate(shard.names):
            place = (next_row[shard.split], shard.file, offset, name, shard.split)
            known = (*attributes.get(name, ()), *factors.get(name, ()))
            yield (*place, identity.get(name, ""), *known)
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


def _listed(bad: Iterable[tuple[str, str]]) -> str:
    return _first_few([f"{name} ({reason})" for name, reason in bad])


def _first_few(items: Sequence[str]) -> str:
    more = len(items) - _NAMED_IN_ERRORS
    return ", ".join(items[:_NAMED_IN_ERRORS]) + (f" and {more} more" if more > 0 else "")
