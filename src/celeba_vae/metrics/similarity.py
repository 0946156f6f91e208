"""Structural similarity of images: SSIM, and MS-SSIM on several scales.

SSIM is scikit-image's with a uniform window of 7 x 7 pixels; MS-SSIM is TensorFlow's with a
Gaussian window of 11 x 11 pixels and a standard deviation of 1.5, as in the paper that defines it.
Their values are not comparable with each other.
"""

import numpy as np
import tensorflow as tf
from skimage.metrics import structural_similarity

from celeba_vae.runtime.arrays import Floats, Pixels

# Wang et al. 2003, section 3.2, finest scale first.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_DEVIATION = 1.5

_BLOCK = 64


def ssim(one: Pixels, other: Pixels) -> Floats:
    """Return the structural similarity of pairs of images (Wang et al. 2004), (n,).

    Averaged over pixels and channels; 1 for equal images.

    Args:
        one: (n, S, S, 3) with S at least 7.
        other: (n, S, S, 3), the counterpart of each.
    """
    return np.array(
        [
            structural_similarity(first, second, channel_axis=-1, data_range=255)
            for first, second in zip(one, other, strict=True)
        ]
    )


def scales_of(size: int) -> int:
    """Return on how many scales `ms_ssim` compares images of that side: four at 96 pixels.

    Each scale halves the side; the coarsest must hold the window of 11 pixels, at most five are
    used, and below 22 pixels there is a single one.
    """
    scales = 1
    while scales < len(_WEIGHTS) and size // 2**scales >= _WINDOW:
        scales += 1
    return scales


def ms_ssim(one: Pixels, other: Pixels) -> Floats:
    """Return the multi-scale structural similarity of pairs of images, (n,).

    MS-SSIM = l_M^w_M * prod_j cs_j^w_j (Wang, Simoncelli and Bovik 2003, equation 7) over the
    scales of `scales_of`, with the paper's weights w divided by their sum; computed for each
    channel, then averaged. 1 for equal images; contrasts or structures that are opposite count
    as 0.

    Args:
        one: (n, S, S, 3).
        other: (n, S, S, 3), the counterpart of each.
    """
    if one.shape != other.shape:
        raise ValueError(f"the stacks have the shapes {one.shape} and {other.shape}")
    size = one.shape[1]
    weights = np.array(_WEIGHTS[: scales_of(size)])
    similarity = np.empty(len(one))
    for start in range(0, len(one), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarity[block] = tf.image.ssim_multiscale(
            one[block],
            other[block],
            max_val=255,
            power_factors=tuple(weights / weights.sum()),
            filter_size=min(_WINDOW, size),
            filter_sigma=_DEVIATION,
        )
    return similarity


def pair_similarity(images: Pixels) -> float:
    """Return the mean MS-SSIM of disjoint pairs of images: the lower, the more they differ.

    The first and the second image, the third and the fourth, and so on (Odena, Olah and Shlens
    2017, section 4.2, without classes; Karras et al. 2018). Only to be compared with that of real
    images: blurred ones are more alike without being fewer faces.

    Args:
        images: (n, S, S, 3) in random order, with n at least 2; an odd last one is left out.
    """
    pairs = len(images) // 2
    return float(ms_ssim(images[: 2 * pairs : 2], images[1 : 2 * pairs : 2]).mean())
