"""The scene: what all parts of one drawn face share, and the colours they are mixed from."""

import colorsys
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from celeba_vae.faces.factors import Factors
from celeba_vae.faces.layout import FRAME_HEIGHT, FRAME_WIDTH

Array = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]
Spot = tuple[float, float, float]  # x, y, z in the head

# CelebA puts the eyes' centres at (69, 111) and (108, 111), counted in pixels.
ORIGIN_X, ORIGIN_Y = 89.0, 111.5  # the middle between them, counted in pixel edges
EYE_X = 19.5

SKINS: tuple[Colour, ...] = (
    (255, 226, 206),
    (248, 208, 178),
    (236, 186, 148),
    (214, 156, 114),
    (176, 120, 82),
    (132, 86, 58),
    (96, 62, 44),
)
HAIRS: dict[str, Colour] = {
    "black": (46, 38, 40),
    "brown": (112, 70, 44),
    "blond": (226, 188, 118),
    "red": (182, 86, 42),
    "gray": (182, 180, 180),
}
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Scene:
    """What all parts of one picture share."""

    factors: Factors
    turn: float  # tangent of yaw: how far x moves for each pixel of depth
    cos: float  # of roll
    sin: float
    half_width: float  # of the head, at the eyes
    chin: float  # y of the chin
    x: Array  # head coordinates of each pixel, shape (218, 178)
    y: Array
    skin: Colour
    shadow: Colour  # of the skin
    hair: Colour


def scene_of(f: Factors) -> Scene:
    """Return what the factors mean for all parts of the picture."""
    male = f.sex == "male"
    cos = round(math.cos(math.radians(f.roll)), 6)
    sin = round(math.sin(math.radians(f.roll)), 6)
    across = np.arange(FRAME_WIDTH, dtype=np.float32) + np.float32(0.5 - ORIGIN_X)
    down = np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None] + np.float32(0.5 - ORIGIN_Y)
    skin = _skin_colour(f.skin_tone)
    red, green, blue = skin
    return Scene(
        factors=f,
        turn=round(math.tan(math.radians(f.yaw)), 6),
        cos=cos,
        sin=sin,
        half_width=45.0 + 2.5 * f.head_width + (1.0 if male else -1.0),
        chin=69.0 + 3.5 * f.chin_length + (2.0 if male else -1.0),
        x=cos * across + sin * down,
        y=cos * down - sin * across,
        skin=skin,
        shadow=(round(red * 0.52), round(green * 0.4), round(blue * 0.38)),
        hair=scaled(HAIRS[f.hair_colour], 1.0 + 0.2 * f.hair_shade),
    )


def _skin_colour(tone: float) -> Colour:
    step = min(int(tone * (len(SKINS) - 1)), len(SKINS) - 2)
    return mixed(SKINS[step], SKINS[step + 1], tone * (len(SKINS) - 1) - step)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """Return the colour with every channel times `factor`, at most 255."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


def from_hue(hue: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue, a saturation and a value, each 0 to 1."""
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue
