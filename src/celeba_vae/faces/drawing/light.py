"""Light on the skin, the hair and the background: what makes a drawn face round.

Array arithmetic is limited to + - * / sqrt, which IEEE 754 rounds exactly, so that it gives the
same bytes on every processor; sines are taken of single numbers and rounded.
"""

import math

import numpy as np
from PIL import Image

from celeba_vae.faces.drawing.scene import EYE_X, ORIGIN_Y, Array, Colour, Scene, mixed, scaled
from celeba_vae.faces.layout import FRAME_HEIGHT


def tinted(colour: Colour, light: Array, warmth: float = 0.15) -> Image.Image:
    """Return `colour` in the given light; shadows lose less red than blue by `warmth`."""
    dark = 1.0 - light
    channels = [
        channel * (1.0 - strength * dark)
        for channel, strength in zip(colour, (1.0 - warmth, 1.0, 1.0 + warmth / 2), strict=True)
    ]
    pixels = np.stack([np.clip(np.rint(c), 0, 255).astype(np.uint8) for c in channels], axis=-1)
    return Image.fromarray(pixels)


def bump(scene: Scene, x: float, y: float, z: float, a: float, b: float) -> Array:
    """Return a smooth hill of height 1 and half-axes a and b: the square of a paraboloid."""
    across = (scene.x - (x + z * scene.turn)) * (1.0 / a)
    down = (scene.y - y) * (1.0 / b)
    hill = np.maximum(1.0 - across * across - down * down, 0.0)
    return hill * hill


def light_on(scene: Scene, height: Array, gloss: float) -> Array:
    """Return how bright a height field is, about 1 where it faces the viewer.

    Lambert's cosine law plus a highlight of strength `gloss` (a power of the cosine).
    """
    light_x, light_y = 0.75 * scene.factors.light_x, 0.75 * scene.factors.light_y - 0.1
    slope_x = np.zeros_like(height)
    slope_y = np.zeros_like(height)
    slope_x[:, 1:-1] = 0.5 * (height[:, 2:] - height[:, :-2])
    slope_y[1:-1] = 0.5 * (height[2:] - height[:-2])
    length = np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    light_length = math.sqrt(1.0 + light_x * light_x + light_y * light_y)
    cosine = (1.0 - light_x * slope_x - light_y * slope_y) / (length * light_length)
    cosine = np.maximum(cosine, 0.0)
    shine = cosine * cosine
    shine = shine * shine
    shine = shine * shine
    return 0.43 + 0.61 * cosine + gloss * shine * shine


def skin_texture(scene: Scene) -> Image.Image:
    """Return the frame filled with lit skin: the head is cut out of it."""
    f = scene.factors
    width, chin = scene.half_width, scene.chin
    smile = max(0.0, f.smile)
    across = (scene.x + 12.0 * scene.turn) * (1.0 / (width + 3.0))
    down = (scene.y + 4.0) * (1.0 / 80.0)
    height = -24.0 * (across * across + down * down) - 8.0 * across * across * across * across
    nose = 25.0 + 2.5 * f.nose_length
    for x, y, z, a, b, rise in (
        (0.0, -40.0, -4, 40.0, 32.0, 3.0),
        (0, 8, 9, 9, 27, 6.0),
        (0, nose - 5, 17, 9.5 + 1.5 * f.nose_width, 9, 6.0),
        (0, 42, 8, 24, 17, 3.5),
        (0, 53, 7, 13, 6, -1.8),
        (0, chin - 11, 6, 15, 12, 4.0),
    ):
        height = height + rise * bump(scene, x, y, z, a, b)
    for side in (-1, 1):
        for x, y, z, a, b, rise in (
            (EYE_X, -1, 0, 17, 12, -5.0),
            (17, -14, 3, 22, 9, 2.0 + (0.8 if f.sex == "male" else 0.0)),
            (26, 22 - 2 * smile, 2, 19, 17, 4.0 + 2.5 * smile),
            (7.0 + 1.2 * f.nose_width, nose - 3, 11, 5.5, 5.5, 2.2),
        ):
            height = height + rise * bump(scene, side * x, y, z, a, b)
    skin = tinted(scene.skin, light_on(scene, height, gloss=0.1))
    rosy = mixed(scene.skin, (226, 70, 70), 0.55 - 0.3 * f.skin_tone)
    for x, y, size, strength in (
        (-27, 22, 20, 0.08 + 0.5 * f.blush),
        (27, 22, 20, 0.08 + 0.5 * f.blush),
        (0, nose - 4, 12, 0.08 + 0.12 * f.blush),
    ):
        amount = np.rint(255 * strength * bump(scene, x, y, 3, size, size * 0.8))
        skin.paste(rosy, None, Image.fromarray(amount.astype(np.uint8)))
    return skin


def background(scene: Scene) -> Image.Image:
    """Return the background: one colour, a slope of light, a glow behind the head.

    A studio's backdrop between slate blue and warm sand: all hues of the wheel would take most
    of what a small model learns in its first epochs, and photographs have few of them.
    """
    f = scene.factors
    hue = mixed((92, 138, 190), (224, 172, 118), f.background_warmth)
    colour = scaled(hue, 0.45 + 0.75 * f.background_light)
    slope = scene.x * (0.0022 * f.background_slope) - scene.y * 0.0008
    glow = bump(scene, 0, -10, 0, 150, 150)
    return tinted(colour, 0.86 + slope + 0.2 * glow, warmth=0.0)


def hair_texture(scene: Scene) -> Image.Image:
    """Return the frame filled with hair: strands fan out from the crown and then hang down."""
    f = scene.factors
    above = np.minimum(scene.y + 4.0, 0.0) * (1.0 / 92.0)
    reach = np.sqrt(np.maximum(1.0 - above * above, 0.02)) * (scene.half_width + 8.0)
    x = scene.x + 20.0 * scene.turn
    if f.hair_style in ("wavy", "curly"):
        period, depth = (5.5, 3.0) if f.hair_style == "wavy" else (3.0, 2.0)
        wave = [
            round(depth * math.sin((row - ORIGIN_Y) / period), 4) for row in range(FRAME_HEIGHT)
        ]
        x = x + np.array(wave, dtype=np.float32)[:, None]
    strand = x / reach
    table = _strands()
    position = np.clip((strand + 3.0) * 40.0, 0.0, len(table) - 2.0)
    index = position.astype(np.int32)
    share = position - index.astype(np.float32)
    tone = table[index] * (1.0 - share) + table[index + 1] * share  # -1 to 1
    across = x * (1.0 / (scene.half_width + 10.0))
    down = (scene.y + 6.0) * (1.0 / 90.0)
    dome = np.minimum(down, 0.0)
    light = light_on(scene, -30.0 * (across * across + dome * dome), gloss=0.0)
    # The sheen lies on a ring round the crown, moved towards the light, broken up by strands.
    ring_x = across - 0.25 * f.light_x
    radius = ring_x * ring_x + (down + 0.06) * (down + 0.06)
    off = (radius - 0.5) * (1.0 / 0.3)
    sheen = np.maximum(1.0 - off * off, 0.0)
    light = light * (1.0 + 0.15 * tone) + sheen * sheen * (0.26 + 0.14 * tone)
    return tinted(scene.hair, light)


def _strands() -> Array:
    """Return the brightness of neighbouring strands: a fixed smooth noise, -1 to 1."""
    noise = np.random.Generator(np.random.Philox(key=7)).integers(-100, 101, 240)
    coarse = np.repeat(np.random.Generator(np.random.Philox(key=8)).integers(-100, 101, 60), 4)
    smooth = (
        np.roll(noise, 1) + 2 * noise + np.roll(noise, -1) + 2 * coarse + 2 * np.roll(coarse, 2)
    )
    return (smooth / 800).astype(np.float32)
