"""How close reconstructions are to their originals."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from celeba_vae.progress import progress_bar


def reconstruction_quality(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8]
) -> dict[str, float | int]:
    """Return MSE, PSNR and SSIM of reconstructions, each over all pixels and channels.

    Args:
        originals: (n, S, S, 3) with S at least 7.
        reconstructions: (n, S, S, 3).

    Returns:
        images: n.
        mse_mean, mse_std: mean squared error of an image, pixels scaled to [0, 1].
        psnr_db_mean, psnr_db_std: -10 log10(MSE) of an image, in dB. An exact reconstruction
            counts as if a single value were off by one step of 255, not as infinite.
        psnr_db_of_mean_mse: the same formula applied to mse_mean; it is at most psnr_db_mean.
        ssim_mean, ssim_std: structural similarity (Wang et al. 2004), 1 for equal images;
            scikit-image with its uniform window of 7 x 7 pixels, averaged over the channels.
    """
    finest = 1 / (255**2 * originals[0].size)
    mse = np.empty(len(originals))
    ssim = np.empty(len(originals))
    pairs = zip(originals, reconstructions, strict=True)
    with progress_bar(len(originals), label="quality", unit="images") as bar:
        for i, (one, other) in enumerate(pairs):
            mse[i] = np.square((one.astype(np.float64) - other) / 255).mean()
            ssim[i] = structural_similarity(one, other, channel_axis=-1, data_range=255)
            bar.update()
    psnr = -10 * np.log10(np.maximum(mse, finest))
    return {
        "images": len(originals),
        "mse_mean": float(mse.mean()),
        "mse_std": float(mse.std()),
        "psnr_db_mean": float(psnr.mean()),
        "psnr_db_std": float(psnr.std()),
        "psnr_db_of_mean_mse": float(-10 * np.log10(max(mse.mean(), finest))),
        "ssim_mean": float(ssim.mean()),
        "ssim_std": float(ssim.std()),
    }
