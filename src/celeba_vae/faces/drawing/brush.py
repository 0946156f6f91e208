"""Splines as outlines, and how they are filled.

Outlines are in head coordinates: pixels from the middle between the eyes, x to the right,
y down, z towards the viewer. Coordinates are rounded to whole steps of a quarter of a pixel before
Pillow sees them, and coverage is counted in integers: the same bytes on every processor.
"""

import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from celeba_vae.faces.drawing.scene import ORIGIN_X, ORIGIN_Y, Colour, Scene, Spot
from celeba_vae.faces.layout import FRAME_HEIGHT, FRAME_WIDTH

OVERSAMPLING = 4
# Catmull and Rom's weights of four neighbouring points at 0, 1/4, 1/2, 3/4 between the inner two.
SPLINE_WEIGHTS = (
    (0.0, 1.0, 0.0, 0.0),
    (-0.0703125, 0.8671875, 0.2265625, -0.0234375),
    (-0.0625, 0.5625, 0.5625, -0.0625),
    (-0.0234375, 0.2265625, 0.8671875, -0.0703125),
)
OCTAGON = (
    (1.0, 0.0),
    (0.7071, 0.7071),
    (0.0, 1.0),
    (-0.7071, 0.7071),
    (-1.0, 0.0),
    (-0.7071, -0.7071),
    (0.0, -1.0),
    (0.7071, -0.7071),
)


def spline(spots: Sequence[Spot], closed: bool = True) -> list[Spot]:
    """Return a Catmull-Rom spline through `spots`, 4 points for each stretch."""
    ends = (spots[-1:], spots[:2]) if closed else (spots[:1], spots[-1:])
    padded = [*ends[0], *spots, *ends[1]]
    curve: list[Spot] = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for wa, wb, wc, wd in SPLINE_WEIGHTS:
            curve.append(
                (
                    wa * a[0] + wb * b[0] + wc * c[0] + wd * d[0],
                    wa * a[1] + wb * b[1] + wc * c[1] + wd * d[1],
                    wa * a[2] + wb * b[2] + wc * c[2] + wd * d[2],
                )
            )
    if not closed:
        curve.append(spots[-1])
    return curve


def mirrored(right: Sequence[Spot]) -> list[Spot]:
    """Close an outline whose right half is given from the top to the bottom, ends on the axis."""
    return [*right, *((-x, y, z) for x, y, z in reversed(right[1:-1]))]


def octagon(x: float, y: float, z: float, a: float, b: float) -> list[Spot]:
    """Return an octagon of half-axes a and b: round enough where it is blurred."""
    return [(x + a * u, y + b * v, z) for u, v in OCTAGON]


def ellipse(x: float, y: float, z: float, a: float, b: float) -> list[Spot]:
    """Return an ellipse of half-axes a and b."""
    return spline(octagon(x, y, z, a, b))


def stroke(spots: Sequence[Spot], widths: Sequence[float]) -> list[Spot]:
    """Return the outline of a brush stroke along `spots`, of the given full width at each."""
    curve = spline([(x, y, z) for x, y, z in spots], closed=False)
    broad = [w for _, w, _ in spline([(0.0, w, 0.0) for w in widths], closed=False)]
    left: list[Spot] = []
    right: list[Spot] = []
    for i, (x, y, z) in enumerate(curve):
        before, after = curve[max(i - 1, 0)], curve[min(i + 1, len(curve) - 1)]
        dx, dy = after[0] - before[0], after[1] - before[1]
        half = max(broad[i], 0.0) / 2 / (math.sqrt(dx * dx + dy * dy) or 1.0)
        left.append((x + dy * half, y - dx * half, z))
        right.append((x - dy * half, y + dx * half, z))
    return left + right[::-1]


def place(scene: Scene, spots: Sequence[Spot]) -> list[tuple[int, int]]:
    """Return the spots in the picture, in whole steps of 1/OVERSAMPLING of a pixel."""
    turn, cos, sin = scene.turn, scene.cos, scene.sin
    placed = []
    for x, y, z in spots:
        across = x + z * turn
        placed.append(
            (
                round(OVERSAMPLING * (ORIGIN_X + cos * across - sin * y)),
                round(OVERSAMPLING * (ORIGIN_Y + sin * across + cos * y)),
            )
        )
    return placed


def full_mask(*outlines: list[tuple[int, int]]) -> Image.Image:
    """Return the coverage of the whole frame by placed outlines, 0 to 255."""
    large = Image.new("L", (FRAME_WIDTH * OVERSAMPLING, FRAME_HEIGHT * OVERSAMPLING))
    pen = ImageDraw.Draw(large)
    for outline in outlines:
        pen.polygon(outline, fill=255)
    return large.reduce(OVERSAMPLING)


def paint(
    canvas: Image.Image,
    scene: Scene,
    outlines: Sequence[Sequence[Spot]],
    fill: Colour | Image.Image,
    *,
    opacity: float = 1.0,
    blur: float = 0.0,
    clip: Image.Image | None = None,
    hole: Sequence[Spot] | None = None,
) -> None:
    """Fill the union of outlines with a colour or with what a full-frame image has there.

    Args:
        canvas: the picture, changed in place.
        scene: how head coordinates are placed.
        outlines: polygons in head coordinates.
        fill: the colour, or an image of the frame's size.
        opacity: 0 to 1.
        blur: standard deviation of the soft edge, in pixels.
        clip: a mask of the frame's size that limits the fill.
        hole: a polygon that is left out.
    """
    placed = [place(scene, outline) for outline in outlines]
    margin = round(3 * blur)
    xs = [x for outline in placed for x, _ in outline]
    ys = [y for outline in placed for _, y in outline]
    left = max(0, min(xs) // OVERSAMPLING - margin)
    top = max(0, min(ys) // OVERSAMPLING - margin)
    right = min(FRAME_WIDTH, max(xs) // OVERSAMPLING + 1 + margin)
    bottom = min(FRAME_HEIGHT, max(ys) // OVERSAMPLING + 1 + margin)
    if right <= left or bottom <= top:
        return
    large = Image.new("L", ((right - left) * OVERSAMPLING, (bottom - top) * OVERSAMPLING))
    pen = ImageDraw.Draw(large)
    dx, dy = left * OVERSAMPLING, top * OVERSAMPLING
    strength = round(255 * opacity)
    for outline in placed:
        pen.polygon([(x - dx, y - dy) for x, y in outline], fill=strength)
    if hole is not None:
        pen.polygon([(x - dx, y - dy) for x, y in place(scene, hole)], fill=0)
    mask = large.reduce(OVERSAMPLING)
    if blur:
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    box = (left, top, right, bottom)
    if clip is not None:
        mask = ImageChops.multiply(mask, clip.crop(box))
    canvas.paste(fill if isinstance(fill, tuple) else fill.crop(box), box, mask)


def darkened(image: Image.Image, factor: float) -> Image.Image:
    """Return the image with every channel times `factor`."""
    return image.point([round(factor * level) for level in range(256)] * 3)
