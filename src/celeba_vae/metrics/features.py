"""Features of images: those of a random convolutional net, and thumbnails."""

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from celeba_vae.runtime.arrays import Pixels

_SIDE = 64
_FILTERS = (32, 64, 128, 256)
_THUMBNAIL = 32

_BLOCK = 128


def random_features(images: Pixels, *, seed: int) -> NDArray[np.float32]:
    """Return features that need no training: those of a random convolutional net.

    A random net tells images apart well enough to compare two sets of them (Naeem et al. 2020,
    section 4.3, with a random VGG). Here: the image at 64 x 64 pixels in [-1, 1], then four
    convolutions of 3 x 3 with stride 2 and ReLU, (32, 64, 128, 256) maps, He-normal weights.

    Args:
        images: (n, S, S, 3).
        seed: seed of the weights: another seed is another space, with other distances.

    Returns:
        (n, 4096).
    """
    kernels = _kernels(seed)
    features = np.empty(
        (len(images), _FILTERS[-1] * (_SIDE // 2 ** len(_FILTERS)) ** 2), np.float32
    )
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        maps = _resized(block, _SIDE) / np.float32(127.5) - 1
        for kernel in kernels:
            maps = keras.ops.relu(keras.ops.conv(maps, kernel, strides=2, padding="same"))
        features[start : start + _BLOCK] = np.asarray(maps).reshape(len(block), -1)
    return features


def thumbnails(images: Pixels) -> NDArray[np.float32]:
    """Return images at 32 x 32 pixels in [0, 1] as points, (n, 3072).

    At that size sharpness hardly counts, but what two faces share does.
    """
    return (_resized(images, _THUMBNAIL) / np.float32(255)).reshape(len(images), -1)


def _kernels(seed: int) -> list[NDArray[np.float32]]:
    generator = np.random.Generator(np.random.Philox(key=seed))
    kernels = []
    for inputs, outputs in zip((3, *_FILTERS[:-1]), _FILTERS, strict=True):
        weights = generator.standard_normal((3, 3, inputs, outputs), np.float32)
        kernels.append(weights * np.float32(np.sqrt(2 / (9 * inputs))))
    return kernels


def _resized(images: Pixels, side: int) -> NDArray[np.float32]:
    resized = np.empty((len(images), side, side, 3), np.float32)
    for image, into in zip(images, resized, strict=True):
        into[...] = cv2.resize(image.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return resized
