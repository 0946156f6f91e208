"""Hair of a drawn face: what falls behind the head, and what frames the face."""

import math

from PIL import Image, ImageChops

from celeba_vae.faces.drawing.brush import (
    darkened,
    ellipse,
    full_mask,
    mirrored,
    octagon,
    paint,
    place,
    spline,
)
from celeba_vae.faces.drawing.scene import WHITE, Scene, Spot, mixed, scaled
from celeba_vae.faces.factors import shows_bangs


def _lift(scene: Scene) -> float:
    """Return how far the hair stands off the head, in pixels."""
    f = scene.factors
    rest = {"bald": 0.0, "buzz": 1.5, "bun": 3.0, "curly": 13.0}.get(f.hair_style, 7.0)
    swing = {"bald": 0.0, "buzz": 1.0, "bun": 1.5, "curly": 4.0}.get(f.hair_style, 3.0)
    return min(rest + swing * f.hair_volume, 4.0 if f.hat != "none" else 99.0)


def _crown(scene: Scene) -> list[Spot]:
    """Return the right half of the hair's outline from the top to the ear."""
    lift = _lift(scene)
    return [
        (0, -77 - lift, -14),
        (24, -71.5 - lift, -19),
        (42 + 0.6 * lift, -49 - 0.6 * lift, -25),
        (scene.half_width + 2 + 0.8 * lift, -16, -27),
    ]


def draw_back_hair(canvas: Image.Image, scene: Scene, hair: Image.Image) -> None:
    """Draw what falls behind the neck, or a bun; the head is painted over it."""
    f = scene.factors
    if f.hair_style in ("bob", "long", "wavy"):
        end = 50.0 if f.hair_style == "bob" else 120.0
        outline = [*_crown(scene), *_locks(scene, end), (0, end + 2, -24)]
        paint(canvas, scene, [spline(mirrored(outline))], darkened(hair, 0.62))
    elif f.hair_style == "curly":
        paint(canvas, scene, _curls(scene), darkened(hair, 0.85))
    elif f.hair_style == "bun" and f.hat == "none":
        bun = ellipse(0, -84 - 2 * f.hair_volume, -30, 21, 17 + 2 * f.hair_volume)
        paint(canvas, scene, [bun], darkened(hair, 0.7))


def _locks(scene: Scene, end: float) -> list[Spot]:
    """Return the right edge of hair that hangs from the ear to `end`, waved if it is wavy."""
    style, reach = scene.factors.hair_style, scene.half_width + 3 + _lift(scene)
    wave = 3.5 if style == "wavy" else 0.0
    spots = []
    for step in range(1, 9):
        y = -16 + (end + 16) * step / 8
        fall = math.sin(math.pi * step / 8)
        spots.append((reach + round(3 * fall, 4) + (wave if step % 2 else -wave), y, -26.0))
    return spots


def _curls(scene: Scene) -> list[list[Spot]]:
    """Return the lobes of curly hair: circles round the head, down to the ears."""
    lift, width = _lift(scene), scene.half_width
    lobes = [ellipse(0, -30, -24, width + lift - 2, 44 + lift - 2)]
    for step in range(19):
        turn = math.pi * (step - 4) / 18 * 1.8
        u, v = round(math.cos(turn), 4), round(math.sin(turn), 4)
        size = 10 + (step * 7 % 5) * 0.7
        lobes.append(ellipse(-u * (width + lift - 6), -26 - v * (46 + lift - 6), -24, size, size))
    return lobes


def _hairline(scene: Scene) -> list[Spot]:
    """Return the edge of the hair on the forehead, from the right temple to the left."""
    f = scene.factors
    width = scene.half_width
    if shows_bangs(f):
        return [
            (width - 5, -14, -16),
            (28, -18, -2),
            (14 + 4 * f.hair_parting, -20, 2),
            (6 * f.hair_parting, -25, 3),
            (-14 + 4 * f.hair_parting, -20, 2),
            (-28, -18, -2),
            (-width + 5, -14, -16),
        ]
    part = 17.0 * f.hair_parting
    high = -50.0
    return [
        (width - 4, -20, -20),
        (0.45 * part + 30, -38, -12),
        (0.75 * part + 14, -46, -6),
        (part, high, -4),
        (0.75 * part - 14, -46, -6),
        (0.45 * part - 30, -38, -12),
        (-width + 4, -20, -20),
    ]


def draw_front_hair(
    canvas: Image.Image, scene: Scene, hair: Image.Image, face: Image.Image
) -> None:
    """Draw the hair that frames the face, and its shadow on the face."""
    f = scene.factors
    if f.hair_style == "bald":
        return
    lift, width = _lift(scene), scene.half_width
    end = {
        "buzz": -4.0,
        "short": 6.0,
        "bob": 50.0,
        "long": 120.0,
        "wavy": 120.0,
        "curly": 2.0,
        "bun": -2.0,
    }[f.hair_style]
    crown = _crown(scene)
    if end > 20:
        side: list[Spot] = [
            *_locks(scene, end),
            (width - 8, end - 2, -14),
            (width - 4, 0.55 * end, -16),
            (width - 3.5, 12, -20),
            (width - 3, -4, -21),
        ]
    else:
        side = [
            (width + 1 + 0.5 * lift, end - 8, -26),
            (width, end, -24),
            (width - 3, end - 2, -23),
        ]
    left = [(-x, y, z) for x, y, z in reversed([*crown[1:], *side])]
    outline = spline([*crown, *side, *_hairline(scene), *left])
    lower = [(x - 2 * f.light_x, y + 3, z) for x, y, z in outline]
    paint(canvas, scene, [lower], scene.shadow, opacity=0.42, blur=2.4, clip=face)
    if f.hair_style == "buzz":
        paint(canvas, scene, [outline], hair, opacity=0.82, blur=0.8)
    else:
        paint(canvas, scene, [outline], hair, blur=0.4)
    if f.hair_style == "curly":
        clip = full_mask(*[place(scene, lobe) for lobe in (*_curls(scene), outline)])
        _draw_ringlets(canvas, scene, face, clip, outline)


def _draw_ringlets(
    canvas: Image.Image, scene: Scene, face: Image.Image, clip: Image.Image, outline: list[Spot]
) -> None:
    """Dab light on the curls, on a sunflower's spiral; not on the skin below the hairline."""
    hair = ImageChops.subtract(clip, ImageChops.subtract(face, full_mask(place(scene, outline))))
    lights, darks = [], []
    for step in range(8, 120):
        turn, reach = 2.39996 * step, 6.1 * math.sqrt(step)
        x, y = round(reach * math.cos(turn), 2), round(-26 + reach * math.sin(turn), 2)
        darks.append(octagon(x + 1.4, y + 1.8, -18, 4.6, 3.6))
        lights.append(octagon(x - 0.8, y - 1.0, -18, 3.0, 1.5))
    paint(canvas, scene, darks, scaled(scene.hair, 0.5), opacity=0.42, blur=1.3, clip=hair)
    paint(canvas, scene, lights, mixed(scene.hair, WHITE, 0.22), opacity=0.4, blur=1.1, clip=hair)
