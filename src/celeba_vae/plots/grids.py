"""Grids of images, with labels where a reader needs them, and PNG of pixels."""

import io
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from celeba_vae.runtime.arrays import Pixels

# Pixels between neighbouring images; there are none at the rim.
GAP = 2

# Of text beside images of up to 130 pixels; beside larger ones it grows with them.
_FONT_SIZE = 13
_MARGIN = 6

# The text in a PNG that says what its labels are.
_TEXT = "rows"


class Rows(NamedTuple):
    """The rows of a labelled grid.

    Attributes:
        labels: one for each row.
        heads: one for each column, or none at all.
        images: (rows, S, width, 3), the images of each row side by side.
    """

    labels: list[str]
    heads: list[str]
    images: Pixels


def image_grid(images: Pixels, *, rows: int, columns: int) -> Pixels:
    """Put images side by side, row by row, with GAP white pixels between them.

    Args:
        images: (n, S, S, 3) with n at most rows x columns; missing ones are left blank.
        rows: images in a column of the grid.
        columns: images in a row of the grid.

    Returns:
        (rows (S + GAP) - GAP, columns (S + GAP) - GAP, 3).
    """
    count, height, width, channels = images.shape
    cell = (height + GAP, width + GAP, channels)
    cells = np.full((rows * columns, *cell), 255, dtype=np.uint8)
    cells[:count, :height, :width] = images
    # (rows, columns, y, x, c) -> (rows, y, columns, x, c): neighbours in memory are neighbours
    # in the picture.
    grid = cells.reshape(rows, columns, *cell).swapaxes(1, 2)
    grid = grid.reshape(rows * cell[0], columns * cell[1], channels)
    return grid[: len(grid) - GAP, : grid.shape[1] - GAP]


def alternate_rows(upper: Pixels, lower: Pixels, *, columns: int) -> Pixels:
    """Order two equally long stacks so that a grid shows each row of `lower` under its `upper`.

    Args:
        upper: (n, S, S, 3) with n a multiple of columns.
        lower: (n, S, S, 3), the counterpart of each image in `upper`.
        columns: images in a row of the grid.

    Returns:
        (2 n, S, S, 3).
    """
    shape = (-1, columns, *upper.shape[1:])
    pairs = np.stack([upper.reshape(shape), lower.reshape(shape)], axis=1)
    return pairs.reshape(-1, *upper.shape[1:])


def labelled_grid(
    images: Pixels,
    *,
    columns: int,
    labels: Sequence[str] = (),
    heads: Sequence[str] = (),
    caption: str = "",
) -> Pixels:
    """Return a grid of dark on white text: labels left of rows and above columns.

    Args:
        images: (n, S, S, 3), row by row.
        columns: images in a row of the grid.
        labels: one for each row of the grid, or none at all.
        heads: one for each column, or none at all; they should not be wider than an image.
        caption: one line above the grid; empty for none.

    Returns:
        (height, width, 3), as large as grid and text need.
    """
    rows = -(-len(images) // columns)
    if labels and len(labels) != rows:
        raise ValueError(f"{len(labels)} labels for {rows} rows of images")
    if heads and len(heads) != columns:
        raise ValueError(f"{len(heads)} heads for {columns} columns of images")
    grid = image_grid(images, rows=rows, columns=columns)
    text = max(_FONT_SIZE, images.shape[1] // 10)
    font = ImageFont.load_default(text)
    left = _room(max(font.getlength(label) for label in labels)) if labels else 0
    line = 2 * _MARGIN + text
    top = line * (bool(caption) + bool(heads))
    width = left + max(grid.shape[1], _room(font.getlength(caption)) if caption else 0)
    canvas = Image.new("RGB", (width, top + len(grid)), "white")
    canvas.paste(Image.fromarray(grid), (left, top))
    draw = ImageDraw.Draw(canvas)
    draw.text((left or _MARGIN, line // 2), caption, fill="black", font=font, anchor="lm")
    pitch, side = images.shape[1] + GAP, images.shape[2]
    for column, head in enumerate(heads):
        middle = left + column * (side + GAP) + side // 2
        draw.text((middle, top - line // 2), head, fill="black", font=font, anchor="mm")
    for row, label in enumerate(labels):
        middle = top + row * pitch + images.shape[1] // 2
        draw.text((left - _MARGIN, middle), label, fill="black", font=font, anchor="rm")
    return np.asarray(canvas)


def labelled_png(
    images: Pixels,
    *,
    columns: int,
    labels: Sequence[str],
    heads: Sequence[str] = (),
    caption: str = "",
) -> bytes:
    """Return a `labelled_grid` as PNG, from which `read_rows` gets rows and labels back."""
    grid = labelled_grid(images, columns=columns, labels=labels, heads=heads, caption=caption)
    font = ImageFont.load_default(_FONT_SIZE)
    side = images.shape[2]
    texts = {
        "labels": list(labels),
        "heads": list(heads),
        "left": _room(max(font.getlength(label) for label in labels)),
        "width": columns * (side + GAP) - GAP,
        "height": images.shape[1],
    }
    info = PngImagePlugin.PngInfo()
    info.add_itxt(_TEXT, json.dumps(texts))
    content = io.BytesIO()
    Image.fromarray(grid).save(content, format="PNG", pnginfo=info)
    return content.getvalue()


def read_rows(image: Image.Image) -> Rows | None:
    """Return the rows of an opened `labelled_png`, or None for another picture.

    Raises:
        ValueError, TypeError, KeyError: it is damaged.
    """
    image.load()
    if _TEXT not in image.info:
        return None
    texts = json.loads(image.info[_TEXT])
    height, left, labels = texts["height"], texts["left"], list(map(str, texts["labels"]))
    pixels = np.asarray(image.convert("RGB"))
    top = len(pixels) - len(labels) * (height + GAP) + GAP
    rows = [
        pixels[top + row * (height + GAP) :, left : left + texts["width"]][:height]
        for row in range(len(labels))
    ]
    return Rows(labels, list(map(str, texts["heads"])), np.stack(rows))


def labelled_rows(*rows: tuple[str, Pixels], caption: str = "") -> bytes:
    """Return equally long rows of images, each with its label on the left, as PNG.

    Args:
        rows: label and images (n, S, S, 3) of each row.
        caption: one line above them; empty for none.
    """
    labels, images = zip(*rows, strict=True)
    columns = len(images[0])
    return labelled_png(np.concatenate(images), columns=columns, labels=labels, caption=caption)


def png(image: Pixels) -> bytes:
    """Return an image (height, width, 3) as PNG, in stable bytes."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="PNG")
    return content.getvalue()


def _room(text_width: float) -> int:
    return int(np.ceil(text_width)) + 2 * _MARGIN
