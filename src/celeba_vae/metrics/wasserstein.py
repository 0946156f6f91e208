"""Sliced Wasserstein distance of image patches, on each level of a Laplacian pyramid."""

import cv2
import numpy as np
from numpy.typing import NDArray

from celeba_vae.runtime.arrays import Floats, Pixels, Points
from celeba_vae.runtime.threads import threaded_map

# Karras et al. 2018, section 5 and appendix: patches and directions.
_SMALLEST = 16
_PATCH = 7
_PATCHES = 128
_DIRECTIONS = 512

# Directions at once: 16 projections of the 524,288 patches of 4,096 images are 34 MB.
_AT_ONCE = 16
# Images whose patches a thread takes at once.
_BLOCK = 64


def pyramid_sides(size: int) -> list[int]:
    """Return the sides of the levels of `laplacian_pyramid`: halves, down to 16 pixels or more."""
    sides = [size]
    while (half := (sides[-1] + 1) // 2) >= _SMALLEST:
        sides.append(half)
    return sides


def laplacian_pyramid(image: Pixels) -> list[NDArray[np.float32]]:
    """Return what each scale of an image adds to the coarser ones (Burt and Adelson 1983).

    Level i is G_i - expand(G_i+1), where G_0 is the image and G_i+1 is G_i smoothed with
    (1, 4, 6, 4, 1) / 16 in both directions and halved; the last level is the coarsest G itself.

    Args:
        image: (S, S, 3).

    Returns:
        Arrays (s, s, 3) with the sides s of `pyramid_sides`, finest first.
    """
    levels = []
    gaussian = image.astype(np.float32)
    for _ in pyramid_sides(len(image))[1:]:
        coarser = cv2.pyrDown(gaussian)
        levels.append(gaussian - cv2.pyrUp(coarser, dstsize=gaussian.shape[1::-1]))
        gaussian = coarser
    return [*levels, gaussian]


def patch_descriptors(
    images: Pixels, *, level: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return random patches of 7 x 7 pixels from one level of each image's pyramid.

    Over all patches together each colour channel has mean 0 and standard deviation 1, so that
    sets of images are compared by their structure, not by a common shade.

    Args:
        images: (n, S, S, 3), S at least 7.
        level: 0 is the finest.
        generator: draws the places.

    Returns:
        (128 n, 147).
    """
    side = pyramid_sides(images.shape[1])[level]
    places = generator.integers(0, side - _PATCH + 1, (len(images), _PATCHES, 2))
    patches = np.empty((len(images), _PATCHES, _PATCH, _PATCH, 3), np.float32)

    def take(start: int) -> None:
        block = slice(start, start + _BLOCK)
        for image, (y, x), into in zip(
            images[block], places[block].transpose(0, 2, 1), patches[block], strict=True
        ):
            layer = laplacian_pyramid(image)[level]
            windows = np.lib.stride_tricks.sliding_window_view(layer, (_PATCH, _PATCH), axis=(0, 1))
            into[...] = np.moveaxis(windows[y, x], 1, -1)

    threaded_map(take, range(0, len(images), _BLOCK))
    for channel in range(3):
        values = patches[..., channel]
        values -= values.mean(dtype=np.float64)
        deviation = values.std(dtype=np.float64)
        if deviation > 0:
            values /= deviation
    return patches.reshape(-1, _PATCH * _PATCH * 3)


def sliced_distance(one: Points, other: Points, directions: Points) -> float:
    """Return the mean over directions of the 1-D Wasserstein distance between projections.

    In one dimension and for equally many points it is the mean distance of the sorted points
    (Rabin et al. 2011; Karras et al. 2018).

    Args:
        one: points (n, d).
        other: points (n, d), as many.
        directions: unit vectors (m, d).
    """
    if one.shape != other.shape:
        raise ValueError(f"the sets have the shapes {one.shape} and {other.shape}")

    def along(start: int) -> Floats:
        chosen = directions[start : start + _AT_ONCE]
        first, second = (np.sort(chosen @ points.T, axis=1) for points in (one, other))
        distances: Floats = np.abs(first - second).mean(axis=1, dtype=np.float64)
        return distances

    distances = threaded_map(along, range(0, len(directions), _AT_ONCE))
    return float(np.concatenate(distances).mean())


def pyramid_distance(one: Pixels, other: Pixels, *, level: int, seed: int) -> float:
    """Return the sliced Wasserstein distance of two sets of images on one level, times 1000.

    Karras et al. 2018: 128 patches of an image and level, see `patch_descriptors`, and 512
    random directions. It falls with the number of images also for sets of the same kind: compare
    with the distance of as many real images. Memory: 220 KB for each image of a set.

    Args:
        one: (n, S, S, 3).
        other: (n, S, S, 3), as many.
        level: 0 is the finest, of fine texture; the patches of each further one show larger parts
            of the face.
        seed: seed of places and directions.
    """
    key = np.random.SeedSequence((seed, level))
    generator = np.random.Generator(np.random.Philox(key))
    directions = generator.standard_normal((_DIRECTIONS, 3 * _PATCH**2), np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    first, second = (
        patch_descriptors(images, level=level, generator=generator) for images in (one, other)
    )
    return 1000 * sliced_distance(first, second, directions)
