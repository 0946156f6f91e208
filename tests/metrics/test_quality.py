import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.metrics.quality import image_quality, join_blocks, summary


def _images(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, (count, side, side, 3), dtype=np.uint8)


def reconstruction_quality(
    originals: np.ndarray, reconstructions: np.ndarray
) -> dict[str, float | int]:
    quality = image_quality(originals, reconstructions)
    return summary(quality, values=originals[0].size)


@given(step=st.integers(1, 55))
@settings(max_examples=20, deadline=None)
def test_a_constant_offset_has_a_known_error(step: int) -> None:
    images = _images(3)
    # Both directions: the difference of unsigned bytes must not wrap round.
    for first, second in ((images, images + np.uint8(step)), (images + np.uint8(step), images)):
        quality = reconstruction_quality(first, second)
        assert quality["mse_mean"] == pytest.approx((step / 255) ** 2)
        assert quality["mse_std"] == quality["psnr_db_std"] == 0
        assert quality["psnr_db_mean"] == pytest.approx(20 * np.log10(255 / step))
        assert quality["psnr_db_of_mean_mse"] == pytest.approx(quality["psnr_db_mean"])


def test_equal_images_are_perfect_but_finite() -> None:
    quality = reconstruction_quality(_images(4), _images(4))
    assert quality["images"] == 4
    assert quality["mse_mean"] == 0
    assert quality["ssim_mean"] == pytest.approx(1)
    assert quality["psnr_db_mean"] == pytest.approx(10 * np.log10(255**2 * 16 * 16 * 3))
    assert quality["psnr_db_mean"] == pytest.approx(quality["psnr_db_of_mean_mse"])


def test_means_are_over_images() -> None:
    black = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    other = black.copy()
    other[0], other[1] = 51, 102  # MSE 0.04 and 0.16, PSNR 13.98 and 7.96 dB
    quality = reconstruction_quality(black, other)
    assert quality["mse_mean"] == pytest.approx(0.1)
    assert quality["mse_std"] == pytest.approx(0.06)
    assert quality["psnr_db_mean"] == pytest.approx(-5 * np.log10(0.04 * 0.16))
    assert quality["psnr_db_of_mean_mse"] == pytest.approx(10)
    # Constant images: only the luminance term of SSIM is left, c1 / (mean^2 + c1).
    c1 = (0.01 * 255) ** 2
    assert quality["ssim_mean"] == pytest.approx(np.mean([c1 / (51**2 + c1), c1 / (102**2 + c1)]))


def test_more_noise_is_worse() -> None:
    images = _images(4, side=32)
    noise = np.random.default_rng(2).integers(-20, 21, images.shape)
    weak = np.clip(images + noise, 0, 255).astype(np.uint8)
    strong = np.clip(images + 3 * noise, 0, 255).astype(np.uint8)
    good, bad = (reconstruction_quality(images, other) for other in (weak, strong))
    assert good["mse_mean"] < bad["mse_mean"]
    assert good["psnr_db_mean"] > bad["psnr_db_mean"]
    assert good["ssim_mean"] > bad["ssim_mean"]


def test_stacks_must_be_equally_long() -> None:
    with pytest.raises(ValueError, match="shorter"):
        reconstruction_quality(_images(3), _images(2))


def test_blocks_change_nothing() -> None:
    one, other = _images(5), _images(5)[::-1]
    blocks = [image_quality(one[:3], other[:3]), image_quality(one[3:], other[3:])]
    whole = image_quality(one, other)
    joined = join_blocks(blocks)
    assert list(joined) == list(whole)
    for name, values in whole.items():
        assert np.array_equal(joined[name], values)
