import numpy as np
import pytest
from skimage.metrics import structural_similarity

from celeba_vae.metrics.similarity import ms_ssim, pair_similarity, scales_of, ssim


def noise(count: int, side: int, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_scales_follow_the_side() -> None:
    assert [scales_of(side) for side in (8, 21, 22, 32, 64, 96, 128, 175, 176, 256)] == [
        *(1, 1, 2, 2, 3, 4, 4, 4, 5, 5)
    ]


@pytest.mark.parametrize("side", [8, 21, 32, 96])
def test_equal_images_are_wholly_similar(side: int) -> None:
    images = noise(2, side)
    assert np.allclose(ms_ssim(images, images), 1, atol=1e-6)


def test_one_scale_is_ssim_with_a_gaussian_window() -> None:
    one = noise(3, 20)
    other = np.clip(one.astype(int) + noise(3, 20, seed=2) % 60, 0, 255).astype(np.uint8)
    expected = [
        structural_similarity(
            first,
            second,
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for first, second in zip(one, other, strict=True)
    ]
    assert np.allclose(ms_ssim(one, other), expected, atol=1e-5)


def test_shades_without_structure_differ_by_the_luminance_of_the_coarsest_scale() -> None:
    one, other = np.full((1, 96, 96, 3), 51, np.uint8), np.full((1, 96, 96, 3), 204, np.uint8)
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 51 * 204 + c1) / (51**2 + 204**2 + c1)
    weight = 0.2363 / (0.0448 + 0.2856 + 0.3001 + 0.2363)
    assert ms_ssim(one, other)[0] == pytest.approx(luminance**weight, rel=1e-3)


def test_more_pairs_than_a_block_and_other_shapes() -> None:
    images = noise(70, 12)
    other = noise(70, 12, seed=3)
    assert np.allclose(ms_ssim(images, other)[66:], ms_ssim(images[66:], other[66:]), atol=1e-6)
    with pytest.raises(ValueError, match="shapes"):
        ms_ssim(images, other[:3])


def test_pairs_are_disjoint_neighbours() -> None:
    one, two = noise(2, 16)
    # An odd last image has no partner.
    assert pair_similarity(np.stack([one, one, two, two, one])) == pytest.approx(1, abs=1e-6)
    mixed = pair_similarity(np.stack([one, two, two, one]))
    assert mixed == pytest.approx(ms_ssim(one[None], two[None])[0], abs=1e-6)
    assert mixed < 0.5


def test_ssim_has_a_window_of_seven_pixels_without_weights() -> None:
    one, other = noise(2, 16), noise(2, 16, seed=2)
    expected = [
        structural_similarity(first, second, win_size=7, channel_axis=-1, data_range=255)
        for first, second in zip(one, other, strict=True)
    ]
    assert np.array_equal(ssim(one, other), expected)
    assert ssim(one, one) == pytest.approx(1)
    with pytest.raises(ValueError, match="shorter"):
        ssim(one, other[:1])
