"""Quality of reconstructions: MSE, PSNR and SSIM of each image, and their means."""

from collections.abc import Mapping, Sequence

import numpy as np

from celeba_vae.metrics.similarity import ssim
from celeba_vae.runtime.arrays import Floats, Pixels


def image_quality(originals: Pixels, reconstructions: Pixels) -> dict[str, Floats]:
    """Return how close each reconstruction is, over all its pixels and channels.

    Args:
        originals: (n, S, S, 3) with S at least 7.
        reconstructions: (n, S, S, 3).

    Returns:
        mse: mean squared error, pixels scaled to [0, 1], (n,).
        psnr_db: `psnr_db` of it, in dB, (n,).
        ssim: `metrics.similarity.ssim`, (n,).
    """
    mse = np.empty(len(originals))
    # One image after the other: in 64 bits a block would take eight times the memory.
    for i, (one, other) in enumerate(zip(originals, reconstructions, strict=True)):
        mse[i] = np.square((one.astype(np.float64) - other) / 255).mean()
    return {
        "mse": mse,
        "psnr_db": psnr_db(mse, values=originals[0].size),
        "ssim": ssim(originals, reconstructions),
    }


def psnr_db(mse: Floats, *, values: int) -> Floats:
    """Return -10 log10(MSE) of pixels in [0, 1], in dB.

    Args:
        mse: mean squared errors, any shape.
        values: values in an image, S * S * 3. An error below that of a single value off by one
            step of 255 counts as that, not as infinite.
    """
    psnr: Floats = -10 * np.log10(np.maximum(mse, 1 / (255**2 * values)))
    return psnr


def join_blocks(blocks: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """Return the values of all images out of those of one block of images after another."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def summary(quality: Mapping[str, Floats], *, values: int) -> dict[str, float | int]:
    """Return mean and standard deviation over all images.

    Args:
        quality: `image_quality` of n images, and more columns (n,) if wanted.
        values: values in an image, S * S * 3.

    Returns:
        images: n; NAME_mean and NAME_std of each column; psnr_db_of_mean_mse, the PSNR of
        mse_mean, which is at most psnr_db_mean.
    """
    means: dict[str, float | int] = {"images": len(quality["mse"])}
    for name, column in quality.items():
        means[f"{name}_mean"] = float(column.mean())
        # All the same is 0 and not the rounding error of their mean.
        means[f"{name}_std"] = float(column.std()) if np.ptp(column) > 0 else 0.0
        if name == "mse":
            means["psnr_db_of_mean_mse"] = float(psnr_db(column.mean(), values=values))
    return means
