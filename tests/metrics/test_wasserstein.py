import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from celeba_vae.metrics.wasserstein import (
    laplacian_pyramid,
    patch_descriptors,
    pyramid_distance,
    pyramid_sides,
    sliced_distance,
)


def images(count: int, side: int, seed: int = 1) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 216, (count, side // 16, side // 16, 3))
    return coarse.repeat(16, axis=1).repeat(16, axis=2).astype(np.uint8)


def unit_vectors(count: int, dimensions: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def test_levels_end_at_16_pixels() -> None:
    assert pyramid_sides(96) == [96, 48, 24]
    assert pyramid_sides(128) == [128, 64, 32, 16]
    assert pyramid_sides(33) == [33, 17]
    assert pyramid_sides(8) == [8]


@pytest.mark.parametrize("side", [16, 40, 45, 96])
def test_the_levels_of_a_pyramid_add_up_to_the_image(side: int) -> None:
    import cv2

    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    levels = laplacian_pyramid(image)
    assert [len(level) for level in levels] == pyramid_sides(side)
    whole = levels[-1]
    for level in reversed(levels[:-1]):
        whole = level + cv2.pyrUp(whole, dstsize=level.shape[1::-1])
    assert np.allclose(whole, image, atol=1e-3)


def test_an_even_shade_is_wholly_in_the_coarsest_level() -> None:
    *fine, coarse = laplacian_pyramid(np.full((96, 96, 3), 77, np.uint8))
    assert all(np.allclose(level, 0, atol=1e-4) for level in fine)
    assert np.allclose(coarse, 77, atol=1e-4)


def test_patches_are_windows_of_the_image_brought_to_mean_0_and_deviation_1() -> None:
    side = 16
    image = np.arange(side * side, dtype=np.uint8).reshape(1, side, side, 1).repeat(3, axis=3)
    patches = patch_descriptors(image, level=0, generator=np.random.default_rng(1))
    assert patches.shape == (128, 147)
    cubes = patches.reshape(128, 7, 7, 3)
    assert np.allclose(cubes.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    assert np.allclose(cubes.std(axis=(0, 1, 2)), 1, atol=1e-5)
    # One pixel to the right is one step more, one below is 16.
    step = np.diff(cubes, axis=2)
    assert np.allclose(step, step[0, 0, 0, 0], atol=1e-4)
    assert np.allclose(np.diff(cubes, axis=1), 16 * step[0, 0, 0, 0], atol=1e-3)


def test_one_dimension_is_the_wasserstein_distance() -> None:
    generator = np.random.default_rng(3)
    one = generator.standard_normal((200, 1)).astype(np.float32)
    other = (2 * generator.standard_normal((200, 1)) + 1).astype(np.float32)
    expected = wasserstein_distance(one[:, 0], other[:, 0])
    assert sliced_distance(one, other, np.ones((1, 1), np.float32)) == pytest.approx(expected)


def test_a_shift_has_a_known_distance() -> None:
    # Over all directions u the mean of |t u| is |t| Gamma(d / 2) / (sqrt(pi) Gamma((d + 1) / 2)).
    dimensions = 6
    points = np.random.default_rng(4).standard_normal((50, dimensions)).astype(np.float32)
    shift = np.array([3, 0, 4, 0, 0, 0], np.float32)
    share = math.gamma(dimensions / 2) / math.sqrt(math.pi) / math.gamma((dimensions + 1) / 2)
    found = sliced_distance(points, points + shift, unit_vectors(20_000, dimensions))
    assert found == pytest.approx(5 * share, rel=0.02)


def test_the_order_of_points_does_not_matter_but_their_number() -> None:
    points = np.random.default_rng(5).standard_normal((60, 4)).astype(np.float32)
    assert sliced_distance(points, points[::-1], unit_vectors(70, 4)) == pytest.approx(0, abs=1e-7)
    with pytest.raises(ValueError, match="shapes"):
        sliced_distance(points, points[:30], unit_vectors(70, 4))


def test_what_differs_only_finely_differs_on_the_fine_level() -> None:
    one, other = images(256, 64, seed=1), images(256, 64, seed=2)
    # The filter of the pyramid has a zero at this frequency: nothing of it goes on.
    checkers = (np.indices((64, 64)).sum(axis=0) % 2 * 80 - 40)[..., None]
    fine = (other + checkers).astype(np.uint8)
    alike, unlike = (
        [pyramid_distance(one, faces, level=level, seed=1) for level in range(3)]
        for faces in (other, fine)
    )
    assert unlike[0] > 20 * alike[0]
    assert unlike[1:] == pytest.approx(alike[1:])
