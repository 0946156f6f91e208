"""Accessories of a drawn face: earrings, glasses and hats."""

from PIL import Image

from celeba_vae.faces.drawing.brush import ellipse, paint, spline, stroke
from celeba_vae.faces.drawing.light import light_on, tinted
from celeba_vae.faces.drawing.scene import EYE_X, WHITE, Scene, Spot, from_hue, scaled


def draw_earrings(canvas: Image.Image, scene: Scene) -> None:
    """Draw studs or hoops."""
    f = scene.factors
    gold = (232, 190, 84)
    for side in (-1, 1):
        x = side * (scene.half_width + 2)
        if f.earrings == "stud":
            paint(canvas, scene, [ellipse(x, 21, -25, 2.8, 2.8)], gold)
            paint(canvas, scene, [ellipse(x - 0.8, 20.2, -25, 1.1, 1.1)], WHITE, opacity=0.9)
        elif f.earrings == "hoop":
            paint(
                canvas,
                scene,
                [ellipse(x, 31, -25, 8, 10)],
                gold,
                hole=ellipse(x, 30.6, -25, 6, 8),
            )


def draw_glasses(canvas: Image.Image, scene: Scene) -> None:
    """Draw frames, a glint on the lenses, and the shadow they cast."""
    f = scene.factors
    if f.glasses == "none":
        return
    colour, thick = {
        "round": ((96, 58, 34), 2.6),
        "square": ((28, 26, 32), 3.2),
        "rimless": ((118, 98, 66), 1.5),
    }[f.glasses]
    for side in (-1, 1):
        x = side * (EYE_X + 0.8)

        def lens(grow: float, x: float = x) -> list[Spot]:
            if f.glasses == "round":
                return ellipse(x, 1, 6, 14.0 + grow, 13.5 + grow)
            a, b = 15.0 + grow, 10.5 + grow
            corners = (
                (1, -0.75),
                (0.8, -1),
                (-0.8, -1),
                (-1, -0.75),
                (-1, 0.6),
                (-0.7, 1),
                (0.7, 1),
                (1, 0.6),
            )
            return spline([(x + a * u, 1 + b * v, 6) for u, v in corners])

        shade = [(px - 1.5 * f.light_x, py + 2.2, 3) for px, py, _ in lens(thick)]
        paint(
            canvas,
            scene,
            [shade],
            scene.shadow,
            opacity=0.25,
            blur=1.0,
            hole=[(px - 1.5 * f.light_x, py + 2.2, 3) for px, py, _ in lens(0)],
        )
        paint(canvas, scene, [lens(0)], (226, 238, 250), opacity=0.12)
        glare = [(x + 3, -8, 6), (x + 8, -8, 6), (x - 2, 10, 6), (x - 6, 9, 6)]
        paint(canvas, scene, [glare], WHITE, opacity=0.16, blur=0.5)
        paint(canvas, scene, [lens(thick)], colour, hole=lens(0))
        arm = [(side * (EYE_X + 15), -4, 5), (side * (scene.half_width - 3), -5, -20)]
        paint(canvas, scene, [stroke(arm, (thick, thick))], colour)
    bridge = [(-6, 0, 10), (0, -2.5, 13), (6, 0, 10)]
    paint(canvas, scene, [stroke(bridge, [thick] * 3)], colour)


def draw_hat(canvas: Image.Image, scene: Scene, face: Image.Image) -> None:
    """Draw a beanie, a cap or a brimmed hat, and its shadow on the forehead."""
    f = scene.factors
    if f.hat == "none":
        return
    width = scene.half_width
    colour = from_hue(f.hat_hue, 0.55, 0.68)
    across = (scene.x + 14 * scene.turn) * (1.0 / (width + 12))
    down = (scene.y + 20.0) * (1.0 / 80.0)
    light = light_on(scene, -26.0 * (across * across + down * down), gloss=0.05)
    cloth = tinted(colour, light, warmth=0.05)
    dark = tinted(scaled(colour, 0.72), light, warmth=0.05)
    hem = [
        (width + 4.5, -24, -18),
        (34, -33, 0),
        (0, -37, 6),
        (-34, -33, 0),
        (-width - 4.5, -24, -18),
    ]
    dome = [
        (-width - 7, -48, -24),
        (-36, -78, -20),
        (0, -90, -16),
        (36, -78, -20),
        (width + 7, -48, -24),
    ]
    shade = spline([*hem, *dome])
    paint(
        canvas,
        scene,
        [[(x, y + 6, z) for x, y, z in shade]],
        scene.shadow,
        opacity=0.5,
        blur=3.0,
        clip=face,
    )
    if f.hat == "brim":
        tall = [
            (-width - 2, -48, -22),
            (-36, -84, -20),
            (-14, -92, -14),
            (0, -88, -10),
            (14, -92, -14),
            (36, -84, -20),
            (width + 2, -48, -22),
        ]
        paint(canvas, scene, [spline([*hem, *tall])], cloth)
        ribbon = [(x, y - 8, z) for x, y, z in hem]
        paint(canvas, scene, [stroke(ribbon, [9] * 5)], scaled(colour, 0.4))
        paint(canvas, scene, [ellipse(0, -32, 2, width + 34, 11)], dark)
        paint(canvas, scene, [ellipse(0, -34.5, 2, width + 33, 9)], cloth)
        return
    paint(canvas, scene, [shade], cloth)
    if f.hat == "beanie":
        for x in range(-5, 6):
            rib = [
                (x * 9.6, -30, 4 - 0.9 * x * x),
                (x * 8.6, -60, -8 - 0.5 * x * x),
                (x * 2.2, -88, -16),
            ]
            paint(
                canvas,
                scene,
                [stroke(rib, (2, 2, 1))],
                scaled(colour, 0.6),
                opacity=0.35,
                blur=0.8,
            )
        fold = [(0.96 * x, y - 3, z) for x, y, z in hem]
        paint(canvas, scene, [stroke(fold, (12, 15, 16, 15, 12))], dark)
    else:
        for x in (-20, 20):
            seam = [(x, -34, 2), (0.9 * x, -64, -6), (0, -90, -16)]
            paint(
                canvas,
                scene,
                [stroke(seam, (1.2, 1.2, 1))],
                scaled(colour, 0.55),
                opacity=0.6,
                blur=0.4,
            )
        paint(canvas, scene, [ellipse(0, -90, -16, 4, 2.5)], dark)
        visor = [
            (-40, -33, -2),
            (-36, -24, 16),
            (0, -17, 34),
            (36, -24, 16),
            (40, -33, -2),
            (0, -40, 8),
        ]
        paint(canvas, scene, [spline(visor)], dark)
