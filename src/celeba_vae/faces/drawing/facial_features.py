"""Facial features of a drawn face: nose, eyes, brows, mouth and beard."""

from PIL import Image

from celeba_vae.faces.drawing.body import head_outline
from celeba_vae.faces.drawing.brush import (
    darkened,
    ellipse,
    full_mask,
    mirrored,
    paint,
    place,
    spline,
    stroke,
)
from celeba_vae.faces.drawing.scene import EYE_X, WHITE, Colour, Scene, Spot, mixed, scaled

IRISES: dict[str, Colour] = {
    "brown": (92, 56, 32),
    "hazel": (140, 98, 48),
    "green": (88, 132, 84),
    "blue": (76, 128, 178),
    "gray": (120, 134, 146),
}
LIPSTICK_COLOURS: dict[str, Colour] = {
    "red": (190, 30, 44),
    "pink": (226, 92, 124),
    "plum": (128, 36, 76),
}


def draw_nose(canvas: Image.Image, scene: Scene) -> None:
    """Draw nostrils, wings and shadows; the ridge is light on the skin."""
    f = scene.factors
    shadow = scene.shadow
    base, broad = 25 + 2.5 * f.nose_length, f.nose_width
    under = ellipse(-2 * f.light_x, base + 2.5, 12, 9.5 + 1.5 * broad, 3)
    paint(canvas, scene, [under], shadow, opacity=0.42, blur=1.6)
    for side in (-1, 1):
        wing = [
            (side * (8 + 1.6 * broad), base - 6, 9),
            (side * (10 + 1.9 * broad), base - 1.5, 8),
            (side * (7 + 1.5 * broad), base + 1.2, 11),
        ]
        paint(canvas, scene, [stroke(wing, (0.5, 1.6, 1.2))], shadow, opacity=0.5, blur=0.5)
        nostril = ellipse(side * (4.4 + 0.9 * broad), base + 0.2, 14, 2.5, 1.3)
        paint(canvas, scene, [nostril], scaled(shadow, 0.6), opacity=0.75, blur=0.5)
        # The bridge's side away from the light.
        away = 0.1 + 0.14 * max(0.0, -side * f.light_x)
        flank = [(side * 6.5, -8, 5), (side * 5, 4, 8), (side * 6.5, base - 8, 12)]
        paint(canvas, scene, [stroke(flank, (2, 3, 2))], shadow, opacity=away, blur=1.6)


def draw_eye(canvas: Image.Image, scene: Scene, side: int) -> None:
    """Draw the eye at the left (side -1) or right (1) of the picture, with its lids."""
    f = scene.factors
    size = 1.06 + 0.1 * f.eye_size
    wide, upper = 10.0 * size, (2.2 + 5.0 * f.eye_openness) * size
    lower = (1.9 + 1.7 * f.eye_openness - 0.7 * max(0.0, f.smile)) * size

    def spot(u: float, y: float) -> Spot:
        # u runs from -1 in the inner corner to 1 in the outer one; the eyeball curves back.
        return side * (EYE_X + u * wide), y, (-4.5 * u if u > 0 else -2.0 * u)

    lid = [
        spot(-1, 1.6),
        spot(-0.5, 0.2 - 0.8 * upper),
        spot(0.1, -upper),
        spot(0.65, -0.72 * upper),
        spot(1, -0.6),
    ]
    floor = [
        spot(1, -0.6),
        spot(0.5, 0.82 * lower),
        spot(-0.1, lower),
        spot(-0.6, 0.75 * lower + 0.4),
        spot(-1, 1.6),
    ]
    opening = spline(lid, closed=False) + spline(floor, closed=False)
    shadow = scene.shadow
    dark = mixed(shadow, (24, 14, 14), 0.75)
    made_up = f.sex == "female"
    clip = full_mask(place(scene, opening))
    paint(canvas, scene, [opening], (244, 240, 238))
    look_x, look_y = side * EYE_X + 3.0 * f.gaze_x, 1.4 * f.gaze_y - 0.4
    iris = IRISES[f.eye_colour]
    round_size = 5.6 * size
    paint(
        canvas,
        scene,
        [ellipse(look_x, look_y, 0, round_size, round_size)],
        scaled(iris, 0.45),
        clip=clip,
    )
    paint(
        canvas,
        scene,
        [ellipse(look_x, look_y + 0.4, 0, 0.8 * round_size, 0.82 * round_size)],
        iris,
        clip=clip,
        blur=0.4,
    )
    paint(
        canvas,
        scene,
        [ellipse(look_x, look_y + 2.4, 0, 0.55 * round_size, 0.36 * round_size)],
        mixed(iris, WHITE, 0.4),
        opacity=0.7,
        clip=clip,
        blur=0.6,
    )
    paint(
        canvas,
        scene,
        [ellipse(look_x, look_y, 0, 2.5 * size, 2.5 * size)],
        (14, 10, 12),
        clip=clip,
    )
    # The upper lid's shadow on the eyeball, then a spark of the light.
    paint(canvas, scene, [stroke(lid, [3.4] * 5)], (60, 44, 50), opacity=0.45, blur=1.0, clip=clip)
    paint(
        canvas,
        scene,
        [ellipse(look_x + 1.7 * f.light_x, look_y - 1.9, 0, 1.4, 1.4)],
        WHITE,
        clip=clip,
    )
    paint(canvas, scene, [stroke(floor, (0.4, 1.2, 0.9, 0.8, 0.4))], shadow, opacity=0.6, blur=0.3)
    crease = [
        spot(-0.85, -2.2),
        spot(-0.35, -upper - 2.2),
        spot(0.3, -upper - 3.0),
        spot(0.95, -0.6 * upper - 2.6),
    ]
    paint(canvas, scene, [stroke(crease, (0.4, 1.5, 1.7, 0.6))], shadow, opacity=0.5, blur=0.5)
    lash = [*lid[:-1], spot(1.12 if made_up else 1.03, -1.6 if made_up else -0.4)]
    widths = (0.8, 2.0, 2.6, 2.8, 0.6) if made_up else (0.6, 1.4, 1.8, 1.8, 0.6)
    paint(canvas, scene, [stroke(lash, widths)], dark)


def draw_brow(canvas: Image.Image, scene: Scene, side: int) -> None:
    """Draw the brow at the left (side -1) or right (1) of the picture."""
    f = scene.factors
    y = -15.0 - 2.5 * f.brow_height - 1.5 * f.eye_openness
    arch = 1.5 + 1.5 * max(0.0, f.brow_height)
    thick = 4.0 + 1.7 * f.brow_thickness
    brow = [
        (side * 8.5, y + 1.5 + 2.4 * f.brow_tilt, 5),
        (side * 15, y - 0.5 * arch + 1.2 * f.brow_tilt, 4),
        (side * 24, y - arch - 0.8 * f.brow_tilt, 0),
        (side * 33.5, y + 3.2 - 1.2 * f.brow_tilt, -8),
    ]
    colour = mixed(scaled(scene.hair, 0.62), (48, 34, 30), 0.35)
    paint(
        canvas,
        scene,
        [stroke(brow, (0.75 * thick, thick, 0.85 * thick, 0.5))],
        colour,
        opacity=0.88,
        blur=0.5,
    )


def draw_mouth(canvas: Image.Image, scene: Scene) -> None:
    """Draw lips, and between open ones teeth and tongue."""
    f = scene.factors
    shadow = scene.shadow
    lips = mixed(scene.skin, (188, 62, 66), 0.42)
    if f.lipstick != "none":
        lips = mixed(scene.skin, LIPSTICK_COLOURS[f.lipstick], 0.85)
    half = 15.0 + 2.0 * f.mouth_width + 3.5 * max(0.0, f.smile)
    corner = 41.0 - (5.5 if f.smile > 0 else 3.2) * f.smile
    middle = 41.0 + (2.2 if f.smile > 0 else 1.4) * f.smile
    gap = 11.0 * f.mouth_open
    full = 1.0 + 0.32 * f.lip_fullness

    def line(shift: float) -> list[Spot]:
        # A parabola from corner to corner, `shift` lower in the middle.
        return [
            (u * half, corner + (middle + shift - corner) * (1 - u * u), 9 - 5 * u * u)
            for u in (-1, -0.75, -0.4, 0, 0.4, 0.75, 1)
        ]

    ceiling, floor = line(-0.3 * gap), line(0.7 * gap)
    rises = (0, 1.5, 3.6, 2.8, 3.6, 1.5, 0)
    drops = (0, 2.2, 4.6, 5.2, 4.6, 2.2, 0)
    top = [(x, y - full * rise, z) for (x, y, z), rise in zip(ceiling, rises, strict=True)]
    bottom = [(x, y + full * drop, z) for (x, y, z), drop in zip(floor, drops, strict=True)]
    below = ellipse(-2 * f.light_x, bottom[3][1] + 2.5, 8, 11, 2.6)
    paint(canvas, scene, [below], shadow, opacity=0.38, blur=1.6)
    paint(
        canvas,
        scene,
        [spline(top, False) + spline(ceiling[::-1], False)],
        scaled(lips, 0.84),
        blur=0.3,
    )
    paint(canvas, scene, [spline(floor, False) + spline(bottom[::-1], False)], lips, blur=0.3)
    if gap > 0:
        cavity = spline(ceiling, False) + spline(floor[::-1], False)
        clip = full_mask(place(scene, cavity))
        paint(canvas, scene, [cavity], (74, 22, 28))
        paint(
            canvas,
            scene,
            [ellipse(0, floor[3][1] + 0.5, 8, 0.55 * half, 0.35 * gap + 0.5)],
            (196, 92, 96),
            clip=clip,
            blur=0.6,
        )
        biting = [
            (x, y + 0.55 * gap if gap < 5 else y + 2.75 + 0.1 * gap, z) for x, y, z in ceiling
        ]
        teeth = spline(ceiling, False) + spline(biting[::-1], False)
        paint(canvas, scene, [teeth], (248, 244, 238), clip=clip)
    else:
        paint(
            canvas,
            scene,
            [stroke(ceiling, (1.0, 1.5, 1.5, 1.3, 1.5, 1.5, 1.0))],
            mixed(lips, (50, 12, 18), 0.68),
            opacity=0.9,
            blur=0.3,
        )
    for side in (-1, 1):
        paint(
            canvas,
            scene,
            [ellipse(side * (half + 0.6), corner, 4, 1.8, 1.6)],
            shadow,
            opacity=0.5,
            blur=0.8,
        )
    gloss = ellipse(2.5 * f.light_x, (floor[3][1] + bottom[3][1]) / 2, 9, 5.5, 1.1)
    paint(canvas, scene, [gloss], WHITE, opacity=0.42 if f.lipstick != "none" else 0.22, blur=0.8)


def draw_beard(canvas: Image.Image, scene: Scene, hair: Image.Image) -> None:
    """Draw stubble, moustache, goatee or a full beard in the colour of the hair."""
    f = scene.factors
    width, chin, jaw = scene.half_width, scene.chin, f.jaw
    texture = darkened(hair, 0.78)
    moustache = mirrored(
        [
            (0, 31, 14),
            (9, 29.5, 12),
            (17, 35, 7),
            (20, 44 - 2 * f.smile, 4),
            (13, 39.5, 8),
            (0, 37.5, 11),
        ]
    )
    cheeks: list[Spot] = [
        (0, 30, 13),
        (10, 29, 11),
        (19, 34, 6),
        (width - 14, 28, -8),
        (width - 7, 8, -18),
        (width, 2, -22),
    ]
    edge: list[Spot] = [
        (width + 0.5, 12, -22),
        (width - 3 + 2 * jaw, 36, -15),
        (width - 15 + 4 * jaw, 57, -5),
        (13 + 3.5 * jaw, chin, 2),
        (0, chin + 3, 4),
    ]
    if f.beard == "stubble":
        paint(
            canvas,
            scene,
            [spline(mirrored([*cheeks, *edge]))],
            mixed(scaled(scene.hair, 0.6), (60, 54, 56), 0.5),
            opacity=0.34,
            blur=2.2,
            clip=full_mask(place(scene, spline(head_outline(scene)))),
        )
    if f.beard == "full":
        paint(canvas, scene, [spline(mirrored([*cheeks, *edge]))], texture, opacity=0.93, blur=1.1)
    if f.beard in ("moustache", "full"):
        paint(canvas, scene, [spline(moustache)], texture, opacity=0.95, blur=0.7)
    if f.beard == "goatee":
        tuft = mirrored([(0, 50, 9), (5, 51, 9), (15, 56, 6), (14, chin - 2, 4), (0, chin + 4, 5)])
        paint(canvas, scene, [spline(tuft)], texture, opacity=0.93, blur=0.9)
