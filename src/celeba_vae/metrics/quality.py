"""How close reconstructions are to their originals."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from celeba_vae.runtime.progress import progress_bar

Floats = NDArray[np.float64]


def reconstruction_quality(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]
) -> dict[str, float | int]:
    """Return MSE, PSNR and SSIM of reconstructions: `summary` of `image_quality`.

    originals, reconstructions: (n, S, S, 3) with S at least 7.
    """
    blocks = []
    with progress_bar(len(originals), label="quality", unit="images") as bar:
        for start in range(0, len(originals), 64):
            block = slice(start, start + 64)
            blocks.append(image_quality(originals[block], reconstructions[block]))
            bar.update(len(originals[block]))
    return summary(blocks, values=originals[0].size)


def image_quality(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]
) -> dict[str, Floats]:
    """Return figures of each reconstruction, over all its pixels and channels.

    Args:
        originals: (n, S, S, 3) with S at least 7.
        reconstructions: (n, S, S, 3).

    Returns:
        mse: mean squared error, pixels scaled to [0, 1], (n,).
        psnr_db: -10 log10(MSE), in dB, (n,). An exact reconstruction counts as if a single value
            were off by one step of 255, not as infinite.
        ssim: structural similarity (Wang et al. 2004), 1 for equal images, (n,); scikit-image
            with its uniform window of 7 x 7 pixels, averaged over the channels.
    """
    mse = np.empty(len(originals))
    ssim = np.empty(len(originals))
    for i, (one, other) in enumerate(zip(originals, reconstructions, strict=True)):
        mse[i] = np.square((one.astype(np.float64) - other) / 255).mean()
        ssim[i] = structural_similarity(one, other, channel_axis=-1, data_range=255)
    return {"mse": mse, "psnr_db": psnr_db(mse, values=originals[0].size), "ssim": ssim}


def psnr_db(mse: Floats, *, values: int) -> Floats:
    """Return -10 log10(MSE) of pixels in [0, 1], in dB.

    Args:
        mse: mean squared errors, any shape.
        values: values in an image, S * S * 3. An error below that of a single value off by one
            step of 255 counts as that, not as infinite.
    """
    psnr: Floats = -10 * np.log10(np.maximum(mse, 1 / (255**2 * values)))
    return psnr


def summary(blocks: Sequence[Mapping[str, Floats]], *, values: int) -> dict[str, float | int]:
    """Return what `image_quality` says of all images.

    Args:
        blocks: its results for one block of images after another; more figures are welcome.
        values: values in an image, S * S * 3.

    Returns:
        images: their number; NAME_mean and NAME_std of each figure; psnr_db_of_mean_mse, the
        PSNR of mse_mean, which is at most psnr_db_mean.
    """
    figures: dict[str, float | int] = {"images": sum(len(block["mse"]) for block in blocks)}
    for name in blocks[0]:
        each = np.concatenate([block[name] for block in blocks])
        figures[f"{name}_mean"], figures[f"{name}_std"] = float(each.mean()), float(each.std())
        if name == "mse":
            figures["psnr_db_of_mean_mse"] = float(psnr_db(each.mean(), values=values))
    return figures
