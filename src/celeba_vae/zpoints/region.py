"""Region of the latent space where the model decodes faces: along rays from 0, and in cubes."""

from typing import Any

import numpy as np

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.distances import energy_distances_of_scaled
from celeba_vae.latent.samplers import draw_normal
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.plots.grids import labelled_png
from celeba_vae.runtime.arrays import Floats, Points

SCALES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
# Cubes are shown at these multiples of the best one's b.
CUBES = (0.5, 0.75, 1.0, 1.5, 2.0)

_COLUMNS = 10
_SCAN = np.arange(20, 81) / 40  # of b, relative to the cube with the same mean |z|^2


def scaled_faces(model: Pretrained, z: Points) -> tuple[bytes, list[dict[str, float]]]:
    """Show how far from the origin decoded faces stay faces.

    Args:
        model: the trained model.
        z: z-points of images, (at least 1, z_dim); the first ten are shown.

    Returns:
        A labelled PNG with a row for each of SCALES and a column for each z-point; and for each
        scale s: `scale`; `radius_mean`, the mean length of s z; and `round_trip_mse`,
        the mean squared error, pixels in [0, 1], between the faces decoded from s z and what the
        model makes of these faces in turn (Encoder, mu, Decoder). It is small where the model
        knows what it decodes.
    """
    shown = z[:_COLUMNS].astype(np.float64)
    points = np.concatenate([scale * shown for scale in SCALES])
    faces = model.decode(points)
    again = model.reconstruct(faces)
    squares = ((faces / 255.0 - again / 255.0) ** 2).mean(axis=(1, 2, 3))
    lengths = Cloud(points).radii.reshape(len(SCALES), -1).mean(axis=1)
    errors = squares.reshape(len(SCALES), -1).mean(axis=1)
    labels = [
        f"{scale:g} z, |z| = {length:.1f}" for scale, length in zip(SCALES, lengths, strict=True)
    ]
    picture = labelled_png(
        faces,
        columns=len(shown),
        labels=labels,
        caption="Faces decoded from z-points of validation images, moved along their rays "
        "from the origin",
    )
    return picture, [
        {"scale": scale, "radius_mean": float(length), "round_trip_mse": float(error)}
        for scale, length, error in zip(SCALES, lengths, errors, strict=True)
    ]


def scan_cubes(points: Floats, *, seed: int) -> dict[str, Any]:
    """Return which cube of independent uniform components matches the z-points best.

    The article series asks for the b of [-b, b] in each component whose points have the |z| of
    the images (Fragmentation IV: 1.5 for its autoencoder). Two answers: the b with the same mean
    |z|^2, which is d b^2 / 3, and the b of the cube with the smallest energy distance from the
    z-points, which looks at the whole cloud and not at |z| alone.

    Args:
        points: (n, z_dim), z-points.
        seed: of the random points in the cube, n of them.

    Returns:
        b, the scanned values, from 1/2 to 2 times radius_b; energy_distances, one for each;
        best_b and best_energy_distance; radius_b; and points, n.
    """
    dimensions = points.shape[1]
    radius_b = float(np.sqrt(3 * (points**2).sum(axis=1).mean() / dimensions))
    sides = _SCAN * (radius_b if radius_b > 0 else 1.0)
    unit = draw_cube(len(points), dimensions, seed=seed)
    distances = energy_distances_of_scaled(unit, np.zeros(dimensions), sides, points)
    best = int(distances.argmin())
    return {
        "b": sides.tolist(),
        "energy_distances": distances.tolist(),
        "best_b": float(sides[best]),
        "best_energy_distance": float(distances[best]),
        "radius_b": radius_b,
        "points": len(points),
    }


def draw_cube(n: int, z_dim: int, *, seed: int) -> Floats:
    """Return n points with independent components, uniform in [-1, 1], (n, z_dim)."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 4))))
    return generator.uniform(-1, 1, (n, z_dim))


def cube_faces(model: Pretrained, *, best_b: float, seed: int) -> bytes:
    """Return faces decoded from random points of cubes, as a labelled PNG.

    A row for each of CUBES times best_b; the last row shows faces from N(0, I), for comparison.
    """
    unit = draw_cube(_COLUMNS, model.z_dim, seed=seed)
    normal = draw_normal(_COLUMNS, model.z_dim, seed)
    sides = [factor * best_b for factor in CUBES]
    faces = model.decode(np.concatenate([*(side * unit for side in sides), normal]))
    labels = [
        f"b = {side:.2f}{', the best' if factor == 1 else ''}"
        for side, factor in zip(sides, CUBES, strict=True)
    ]
    return labelled_png(
        faces,
        columns=_COLUMNS,
        labels=[*labels, "N(0, I)"],
        caption="Faces decoded from random points, uniform in [-b, b] in each dimension",
    )
