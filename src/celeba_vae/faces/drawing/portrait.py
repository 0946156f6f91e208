"""Portrait: one face drawn from its factors, 178x218 pixels, aligned by the eyes as CelebA is.

The same factors give the same bytes on every processor; `brush` and `light` say how.
"""

from PIL import Image

from celeba_vae.faces.drawing.accessories import draw_earrings, draw_glasses, draw_hat
from celeba_vae.faces.drawing.body import draw_age, draw_clothes, draw_ears, draw_neck, head_outline
from celeba_vae.faces.drawing.brush import full_mask, paint, place, spline
from celeba_vae.faces.drawing.facial_features import (
    draw_beard,
    draw_brow,
    draw_eye,
    draw_mouth,
    draw_nose,
)
from celeba_vae.faces.drawing.hair import draw_back_hair, draw_front_hair
from celeba_vae.faces.drawing.light import background, hair_texture, skin_texture
from celeba_vae.faces.drawing.scene import scene_of
from celeba_vae.faces.factors import Factors


def draw_face(factors: Factors) -> Image.Image:
    """Return the face as an RGB image of 178x218 pixels, a pure function of its factors."""
    scene = scene_of(factors)
    skin = skin_texture(scene)
    canvas = background(scene)
    hair = hair_texture(scene)
    draw_clothes(canvas, scene)
    draw_back_hair(canvas, scene, hair)
    draw_neck(canvas, scene)
    draw_ears(canvas, scene)
    head = spline(head_outline(scene))
    face = full_mask(place(scene, head))
    paint(canvas, scene, [head], skin)
    draw_age(canvas, scene)
    draw_nose(canvas, scene)
    for side in (-1, 1):
        draw_eye(canvas, scene, side)
        draw_brow(canvas, scene, side)
    draw_beard(canvas, scene, hair)
    draw_mouth(canvas, scene)
    draw_front_hair(canvas, scene, hair, face)
    draw_earrings(canvas, scene)
    draw_glasses(canvas, scene)
    draw_hat(canvas, scene, face)
    return canvas
