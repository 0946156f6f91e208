"""The factors of a drawn face, their distribution, and the attributes of CelebA they imply."""

from dataclasses import dataclass, fields

import numpy as np

from celeba_vae.faces.layout import ATTRIBUTES

SEXES = ("female", "male")
HAIR_STYLES = ("bald", "buzz", "short", "bob", "long", "wavy", "curly", "bun")
HAIR_COLOURS = ("black", "brown", "blond", "red", "gray")
EYE_COLOURS = ("brown", "hazel", "green", "blue", "gray")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
LIPSTICKS = ("none", "red", "pink", "plum")
GLASSES = ("none", "round", "square", "rimless")
HATS = ("none", "beanie", "cap", "brim")
EARRINGS = ("none", "stud", "hoop")

# Hair styles that can have a fringe.
FRINGED = ("short", "bob", "long", "wavy")


@dataclass(frozen=True)
class Factors:
    """The factors of one face; together they determine every pixel.

    Numbers have at most 4 decimals, so that factors.csv holds them exactly. "Left" and "right"
    are the picture's. Ranges are those that `sample` draws from.
    """

    sex: str  # SEXES
    age: float  # 0 young to 1 old: lines, and gray hair more often
    skin_tone: float  # 0 pale to 1 dark
    blush: float  # 0 to 1
    head_width: float  # -1 narrow to 1 wide
    chin_length: float  # -1 short to 1 long
    jaw: float  # -1 pointed to 1 square
    hair_style: str  # HAIR_STYLES
    hair_colour: str  # HAIR_COLOURS
    hair_shade: float  # -1 darker to 1 lighter
    hair_volume: float  # -1 flat to 1 full
    hair_parting: float  # -1 left to 1 right
    bangs: bool
    brow_thickness: float  # -1 thin to 1 bushy
    brow_height: float  # -1 low to 1 raised
    brow_tilt: float  # -1 worried (inner ends up) to 1 stern
    eye_colour: str  # EYE_COLOURS
    eye_size: float  # -1 small to 1 large
    eye_openness: float  # 0.35 narrowed to 1 wide
    gaze_x: float  # -1 left to 1 right
    gaze_y: float  # -1 up to 1 down
    nose_width: float  # -1 narrow to 1 wide
    nose_length: float  # -1 short to 1 long
    mouth_width: float  # -1 small to 1 wide
    lip_fullness: float  # -1 thin to 1 full
    smile: float  # -0.6 frown to 1 smile
    mouth_open: float  # 0 closed to 1 open
    lipstick: str  # LIPSTICKS
    beard: str  # BEARDS
    glasses: str  # GLASSES
    hat: str  # HATS
    hat_hue: float  # 0 to 1 round the colour wheel
    earrings: str  # EARRINGS
    yaw: float  # degrees the head turns, positive to the right
    roll: float  # degrees the head tilts, positive clockwise
    light_x: float  # -1 from the left to 1 from the right
    light_y: float  # -1 from above to 0 from the front
    background_warmth: float  # 0 slate blue to 1 warm sand
    background_light: float  # 0 dark to 1 bright
    background_slope: float  # -1 brighter at the left to 1 brighter at the right
    clothes_hue: float  # 0 to 1 round the colour wheel
    clothes_light: float  # 0 dark to 1 bright


FACTOR_NAMES = tuple(field.name for field in fields(Factors))


def sample(seed: int, index: int) -> Factors:
    """Draw the factors of face `index` (from 0), a pure function of both arguments.

    They are independent but for these: sex weighs hair style, beard, lipstick, earrings and
    brows; age and a dark skin weigh hair colour and eye colour; a laugh opens the mouth.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index))))

    def uniform(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 4)

    def normal(deviation: float, limit: float) -> float:
        return round(min(limit, max(-limit, float(rng.normal(0.0, deviation)))), 4)

    def pick(words: tuple[str, ...], *weights: float) -> str:
        # One uniform number per choice: the other factors do not depend on what was chosen.
        remaining = float(rng.uniform(0.0, sum(weights)))
        for word, weight in zip(words, weights, strict=True):
            remaining -= weight
            if remaining < 0:
                return word
        return words[-1]

    sex = pick(SEXES, 1, 1)
    male = sex == "male"
    age = uniform(0.0, 1.0)
    skin_tone = uniform(0.0, 1.0)
    gray = 4.0 * max(0.0, age - 0.6)
    fair = 1.0 if skin_tone < 0.5 else 0.1
    smile = uniform(-0.6, 1.0)
    return Factors(
        sex=sex,
        age=age,
        skin_tone=skin_tone,
        blush=uniform(0.0, 1.0),
        head_width=normal(0.5, 1.0),
        chin_length=normal(0.5, 1.0),
        jaw=round(min(1.0, max(-1.0, normal(0.45, 1.0) + (0.3 if male else -0.3))), 4),
        hair_style=pick(
            HAIR_STYLES, *((8, 12, 46, 5, 5, 4, 15, 5) if male else (1, 2, 9, 20, 24, 20, 10, 14))
        ),
        hair_colour=pick(HAIR_COLOURS, 1.2, 1.3, 1.0 * fair, 0.6 * fair, gray),
        hair_shade=uniform(-1.0, 1.0),
        hair_volume=uniform(-1.0, 1.0),
        hair_parting=uniform(-1.0, 1.0),
        bangs=pick(("yes", "no"), 0.25, 0.75) == "yes",
        brow_thickness=round(min(1.0, max(-1.0, normal(0.45, 1.0) + (0.3 if male else -0.3))), 4),
        brow_height=normal(0.5, 1.0),
        brow_tilt=normal(0.5, 1.0),
        eye_colour=pick(EYE_COLOURS, 2.0, 1.0, 0.8 * fair, 1.4 * fair, 0.6 * fair),
        eye_size=normal(0.5, 1.0),
        eye_openness=uniform(0.35, 1.0),
        gaze_x=normal(0.5, 1.0),
        gaze_y=normal(0.35, 1.0),
        nose_width=normal(0.5, 1.0),
        nose_length=normal(0.5, 1.0),
        mouth_width=normal(0.5, 1.0),
        lip_fullness=normal(0.5, 1.0),
        smile=smile,
        mouth_open=round(max(0.0, uniform(-1.0, 0.6) + (0.4 if smile > 0.2 else -0.3)), 4),
        lipstick=pick(LIPSTICKS, *((1, 0, 0, 0) if male else (4, 2.5, 2, 1.5))),
        beard=pick(BEARDS, *((10, 3, 2, 2, 4) if male else (1, 0, 0, 0, 0))),
        glasses=pick(GLASSES, 8, 0.8, 0.8, 0.6),
        hat=pick(HATS, 9, 0.4, 0.4, 0.4),
        hat_hue=uniform(0.0, 1.0),
        earrings=pick(EARRINGS, *((20, 1, 0) if male else (6, 2, 2))),
        yaw=normal(11.0, 24.0),
        roll=normal(1.5, 4.0),
        light_x=uniform(-1.0, 1.0),
        light_y=uniform(-1.0, 0.0),
        background_warmth=uniform(0.0, 1.0),
        background_light=uniform(0.0, 1.0),
        background_slope=uniform(-1.0, 1.0),
        clothes_hue=uniform(0.0, 1.0),
        clothes_light=uniform(0.0, 1.0),
    )


def row_of(factors: Factors) -> list[str]:
    """Return the cells of factors.csv: numbers in 4 decimals, yes or no, words."""
    return [_cell(getattr(factors, name)) for name in FACTOR_NAMES]


def _cell(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.4f}"


def attributes_of(factors: Factors) -> list[bool]:
    """Return for each of CelebA's 40 attributes whether it is known to hold.

    What the factors do not decide (Attractive, Blurry, Young, ...) does not hold. Hair that a
    hat or a bald head hides is still what the factors say, less its style: a bald head has
    neither bangs nor waves.
    """
    has_hair = factors.hair_style != "bald"
    facts = {
        "5_o_Clock_Shadow": factors.beard == "stubble",
        "Arched_Eyebrows": factors.brow_height > 0.5,
        "Bald": not has_hair,
        "Bangs": shows_bangs(factors),
        "Big_Lips": factors.lip_fullness > 0.5,
        "Big_Nose": factors.nose_width > 0.5,
        "Bushy_Eyebrows": factors.brow_thickness > 0.5,
        "Eyeglasses": factors.glasses != "none",
        "Goatee": factors.beard == "goatee",
        "Male": factors.sex == "male",
        "Mouth_Slightly_Open": factors.mouth_open > 0.1,
        "Mustache": factors.beard == "moustache",
        "Narrow_Eyes": factors.eye_openness < 0.5,
        "No_Beard": factors.beard == "none",
        "Oval_Face": factors.jaw < 0 and factors.head_width < 0,
        "Pale_Skin": factors.skin_tone < 0.1,
        "Rosy_Cheeks": factors.blush > 0.7,
        "Sideburns": factors.beard == "full",
        "Smiling": factors.smile > 0.25,
        "Straight_Hair": factors.hair_style in ("short", "bob", "long"),
        "Wavy_Hair": factors.hair_style == "wavy",
        "Wearing_Earrings": factors.earrings != "none",
        "Wearing_Hat": factors.hat != "none",
        "Wearing_Lipstick": factors.lipstick != "none",
    }
    for colour in ("black", "brown", "blond", "gray"):
        facts[f"{colour.title()}_Hair"] = has_hair and factors.hair_colour == colour
    return [facts.get(name, False) for name in ATTRIBUTES]


def shows_bangs(factors: Factors) -> bool:
    """Return whether a fringe is seen: not every hair style has one, and hats cover it."""
    return factors.bangs and factors.hat == "none" and factors.hair_style in FRINGED
