"""The body of a drawn face: head, neck, ears, clothes, and the lines of age."""

import numpy as np
from PIL import Image

from celeba_vae.faces.drawing.brush import full_mask, mirrored, paint, place, spline, stroke
from celeba_vae.faces.drawing.light import bump, tinted
from celeba_vae.faces.drawing.scene import Scene, Spot, from_hue, scaled


def head_outline(scene: Scene) -> list[Spot]:
    """Return the outline of the head, from which hair, beard and shadows are measured."""
    width, chin, jaw = scene.half_width, scene.chin, scene.factors.jaw
    return mirrored(
        [
            (0, -76, -10),
            (23, -70.5, -16),
            (41, -48, -22),
            (width, -16, -24),
            (width - 0.5, 10, -22),
            (width - 4 + 2 * jaw, 35, -15),
            (width - 17 + 4 * jaw, 55, -5),
            (12 + 3.5 * jaw, chin - 3, 2),
            (0, chin, 4),
        ]
    )


def draw_clothes(canvas: Image.Image, scene: Scene) -> None:
    """Draw the shoulders and a round collar."""
    f = scene.factors
    colour = from_hue(f.clothes_hue, 0.5, 0.25 + 0.6 * f.clothes_light)
    light = 0.92 + scene.x * (0.003 * f.light_x) - 0.35 * bump(scene, 0, 78, 0, 60, 40)
    shoulder = 92 if f.sex == "female" else 96
    body = spline(
        mirrored(
            [
                (0, 80, -20),
                (22, 82, -20),
                (44, 91, -20),
                (shoulder, 104, -20),
                (150, 160, -20),
                (0, 170, -20),
            ]
        )
    )
    paint(canvas, scene, [body], tinted(colour, light, warmth=0.0))
    collar = [(-30, 84, -18), (-22, 96, -14), (0, 103, -10), (22, 96, -14), (30, 84, -18)]
    paint(canvas, scene, [stroke(collar, [5] * 5)], scaled(colour, 0.72), blur=0.3)


def draw_neck(canvas: Image.Image, scene: Scene) -> None:
    """Draw the neck and on it the soft shadow of the chin."""
    f = scene.factors
    neck = 30 if f.sex == "male" else 25
    light = 0.8 + scene.x * (0.005 * f.light_x) - 0.008 * np.abs(scene.x + 14 * scene.turn)
    outline = [
        (neck, 30, -20),
        (neck - 1, 62, -18),
        (neck + 1, 82, -18),
        (20, 95, -14),
        (0, 101, -10),
        (-20, 95, -14),
        (-neck - 1, 82, -18),
        (-neck + 1, 62, -18),
        (-neck, 30, -20),
    ]
    paint(canvas, scene, [spline(outline)], tinted(scene.skin, light))
    jaw = [(x - 4 * f.light_x, y + 9, z) for x, y, z in head_outline(scene) if y > 0]
    clip = full_mask(place(scene, spline(outline)))
    paint(canvas, scene, [spline(jaw)], scene.shadow, opacity=0.5, blur=3.5, clip=clip)


def draw_ears(canvas: Image.Image, scene: Scene) -> None:
    """Draw both ears, the one towards the light brighter."""
    for side in (-1, 1):
        edge = scene.half_width - 1
        brightness = 0.88 + 0.12 * side * scene.factors.light_x
        ear = [
            (edge - 3, -8, -26),
            (edge + 5, -9, -27),
            (edge + 7, 2, -27),
            (edge + 4, 15, -26),
            (edge - 1, 21, -25),
            (edge - 5, 12, -25),
        ]
        fold = [(edge + 3, -5, -26), (edge + 4.5, 3, -26), (edge + 1, 12, -26)]
        paint(
            canvas,
            scene,
            [spline([(side * x, y, z) for x, y, z in ear])],
            scaled(scene.skin, brightness),
        )
        paint(
            canvas,
            scene,
            [stroke([(side * x, y, z) for x, y, z in fold], (1, 3, 1))],
            scene.shadow,
            opacity=0.4,
            blur=0.7,
        )


def draw_age(canvas: Image.Image, scene: Scene) -> None:
    """Draw the lines of age, and the folds that a smile makes."""
    f = scene.factors
    old = max(0.0, (f.age - 0.35) / 0.65) ** 2
    shadow = scene.shadow
    cheek = 0.06 + 0.3 * old + 0.28 * max(0.0, f.smile)
    for side in (-1, 1):
        fold = [(side * 11, 22, 9), (side * 17, 29, 6), (side * 21, 38, 3), (side * 21, 44, 2)]
        paint(canvas, scene, [stroke(fold, (1, 2.4, 2, 0.5))], shadow, opacity=cheek, blur=0.9)
        bag = [(side * 11, 7, 2), (side * 18, 10.5, 2), (side * 27, 9, -3)]
        paint(
            canvas, scene, [stroke(bag, (1, 2, 0.5))], shadow, opacity=0.06 + 0.34 * old, blur=0.8
        )
        for rise in (-3, 1, 5):
            foot = [(side * 32, 1 + rise * 0.4, -7), (side * 38, 1 + rise, -12)]
            paint(canvas, scene, [stroke(foot, (1.2, 0.4))], shadow, opacity=0.32 * old, blur=0.4)
    for y, reach in ((-27, 20), (-33, 23), (-39, 19)):
        line = [(-reach, y + 1, -4), (0, y - 1, 2), (reach, y + 1, -4)]
        paint(canvas, scene, [stroke(line, (0.4, 1.8, 0.4))], shadow, opacity=0.34 * old, blur=0.5)
