"""Statistics of the shards, a contact sheet, and a check of every file against the manifest."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from celeba_vae.plots.grids import labelled_grid
from celeba_vae.runtime.arrays import Pixels
from celeba_vae.runtime.errors import UserError, printable, reason_of
from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import (
    INDEX_COLUMNS,
    INDEX_FILE,
    index_rows,
    is_attribute,
    open_split,
    read_manifest,
)

# Of each split, so many images are on the contact sheet.
SHEET_ROWS, SHEET_COLUMNS = 3, 12

_FIX = "run `dvc repro --force prepare`"

_LEVELS = np.arange(256.0)

# Of an attribute's name, in the table.
_NAME_WIDTH = 20


def summarize(folder: Path) -> dict[str, Any]:
    """Return what is in the shards of `folder`, as plain values that JSON holds.

    Every pixel and the whole index are read once, in little memory.

    Returns:
        `source`, `image_shape`, `crop` and `filter` as in the manifest, and for each split
        `images`, `shards`, `bytes` (of pixels), `channel_mean` and `channel_std` (of R, G, B, in
        grey levels from 0 to 255; exact) and `attributes` (the share of the images that have it,
        by its name; empty where none is known).

    Raises:
        UserError: manifest, index or a shard is missing or not what `write_shards` leaves.
    """
    manifest = read_manifest(folder)
    splits = {name: open_split(folder, name) for name in manifest["splits"]}
    attributes = _attributes(folder, list(splits))
    total = sum(map(len, splits.values()))
    described: dict[str, Any] = {}
    with progress_bar(total, label="inspect", unit="images") as bar:
        for name, split in splits.items():
            counts = np.zeros((3, 256), np.int64)
            for rows, images in split.blocks():
                counts += _histogram(images)
                bar.update(len(rows))
            mean, std = _moments(counts)
            described[name] = {
                "images": len(split),
                "shards": len(split.shards),
                "bytes": sum(shard.nbytes for shard in split.shards),
                "channel_mean": mean.tolist(),
                "channel_std": std.tolist(),
                "attributes": attributes[name],
            }
    kept = {key: manifest.get(key) for key in ("source", "image_shape", "crop", "filter")}
    return {**kept, "splits": described}


def describe(report: Mapping[str, Any]) -> str:
    """Return what `summarize` returns as text of at most 100 columns."""
    splits = report["splits"]
    height, width, channels = report["image_shape"]
    crop = "whole frame" if report["crop"] is None else f"crop {report['crop']} pixels"
    source = (report["source"] or {}).get("source", "unknown")
    lines = [
        f"source {source}, images {height} x {width} x {channels}, {crop}, "
        f"filter {report['filter']}",
        "",
        f"{'':<12}{'images':>9}{'shards':>8}{'MB':>9}"
        f"{'mean of R':>13}{'G':>7}{'B':>7}{'std of R':>18}{'G':>7}{'B':>7}",
    ]
    for name, split in splits.items():
        mean, std = split["channel_mean"], split["channel_std"]
        lines.append(
            f"{name:<12}{split['images']:>9,}{split['shards']:>8}{split['bytes'] / 1e6:>9,.1f}"
            f"{mean[0]:>13.2f}{mean[1]:>7.2f}{mean[2]:>7.2f}"
            f"{std[0]:>18.2f}{std[1]:>7.2f}{std[2]:>7.2f}"
        )
    lines += ["", *_attribute_lines(splits)]
    return "\n".join(map(printable, lines))


def contact_sheet(folder: Path, *, seed: int) -> Pixels:
    """Return images of every split, drawn without repetition, as one picture with labels.

    Args:
        folder: of the shards.
        seed: of the choice; a split's images do not depend on the other splits.

    Returns:
        uint8 (height, width, 3): `SHEET_ROWS` rows of `SHEET_COLUMNS` images for each split.
    """
    manifest = read_manifest(folder)
    places = SHEET_ROWS * SHEET_COLUMNS
    sheet = []
    labels: list[str] = []
    for number, name in enumerate(manifest["splits"]):
        split = open_split(folder, name)
        generator = np.random.default_rng((seed, number))
        rows = np.sort(generator.choice(len(split), min(places, len(split)), replace=False))
        white = np.full((places - len(rows), *split.image_shape), 255, np.uint8)
        sheet += [split.take(rows), white]
        labels += [name if row == 0 else "" for row in range(SHEET_ROWS)]
    return labelled_grid(np.concatenate(sheet), columns=SHEET_COLUMNS, labels=labels)


def check_shards(folder: Path) -> None:
    """Compare every shard with the manifest's sha256, and every count with the index.

    Raises:
        UserError: something differs; its one line names the first damaged shard, what is wrong
            with it, and how many are damaged in all.
    """
    splits = read_manifest(folder)["splits"]
    listed = [
        (split, shard["file"], shard["images"], shard["sha256"])
        for split, content in splits.items()
        for shard in content["shards"]
    ]
    counts = {split: content["images"] for split, content in splits.items()}
    indexed = _count_rows(folder)
    damage = []
    with progress_bar(sum(counts.values()), label="verify", unit="images") as bar:
        for split, file, images, sha256 in listed:
            wrong = _damage(folder / file, sha256, images, indexed[split, file])
            if wrong:
                damage.append(f"{folder / file}: {wrong}")
            bar.update(images)
    if damage:
        raise UserError(f"{damage[0]}; {len(damage)} of {len(listed)} shards are damaged; {_FIX}")
    for split, images in counts.items():
        found = sum(rows for (of, _), rows in indexed.items() if of == split)
        if found != images:
            raise UserError(
                f"{folder / INDEX_FILE}: has {found} images of {split}, the manifest says "
                f"{images}; {_FIX}"
            )


def _damage(path: Path, sha256: str, images: int, indexed: int) -> str:
    try:
        found = sha256_of(path)
    except OSError as error:
        return f"cannot be read: {reason_of(error)}"
    if found != sha256:
        return f"its sha256 is {found[:12]}..., the manifest says {sha256[:12]}..."
    if indexed != images:
        return f"{INDEX_FILE} has {indexed} images in it, the manifest says {images}"
    return ""


def _count_rows(folder: Path) -> Counter[tuple[str, str]]:
    """Return the number of images by split and shard."""
    rows = index_rows(folder, needed=INDEX_COLUMNS)
    return Counter((row["split"], row["shard"]) for row in rows)


def _attributes(folder: Path, splits: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the share of each split's images that have an attribute, where any is known."""
    having = {name: Counter[str]() for name in splits}
    known = {name: Counter[str]() for name in splits}
    for row in index_rows(folder, needed=INDEX_COLUMNS):
        split = row["split"]
        if split not in known:
            raise UserError(
                f"{folder / INDEX_FILE}: has images of a split {split}, which the manifest does "
                f"not know; {_FIX}"
            )
        known[split].update(name for name, cell in row.items() if cell)
        having[split].update(name for name, cell in row.items() if cell == "1")
    return {
        split: {
            name: having[split][name] / images
            for name, images in known[split].items()
            if is_attribute(name)
        }
        for split in splits
    }


def _histogram(images: Pixels) -> np.ndarray:
    """Count the grey levels of uint8 (n, height, width, 3): int64 (3, 256)."""
    _, _, width, channels = images.shape
    # Pillow counts an order of magnitude faster than NumPy.
    picture = Image.fromarray(images.reshape(-1, width, channels))
    return np.array(picture.histogram(), np.int64).reshape(channels, -1)


def _moments(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation, float64 (3,) each, of grey levels counted as (3, 256)."""
    pixels = counts.sum(axis=1)
    mean = counts @ _LEVELS / pixels
    squares = (_LEVELS - mean[:, None]) ** 2
    return mean, np.sqrt((counts * squares).sum(axis=1) / pixels)


def _attribute_lines(splits: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys(name for split in splits.values() for name in split["attributes"]))
    if not names:
        return ["attributes: none known"]

    widths = [max(8, len(name) + 1) for name in splits]

    def line(name: str, cells: Iterable[str]) -> str:
        cut = f"{printable(name)[: _NAME_WIDTH - 1]:<{_NAME_WIDTH}}"
        return cut + "".join(map(str.rjust, cells, widths))

    def shares(name: str) -> Iterator[str]:
        for split in splits.values():
            share = split["attributes"].get(name)
            yield "-" if share is None else f"{100 * share:.1f}"

    # Two columns, each read downwards: 40 names in 20 lines.
    half = -(-len(names) // 2)
    heading = line("", splits)
    cells = [*(line(name, shares(name)) for name in names), ""]
    rows = [(heading, heading), *zip(cells[:half], cells[half : 2 * half], strict=True)]
    return ["images with an attribute, in per cent"] + [
        f"{left}     {right}".rstrip() for left, right in rows
    ]
