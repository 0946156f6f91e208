"""Rows and noise of each batch, as pure functions of (seed, epoch, index).

So a fit can go on at any step without a generator's state.
"""

import numpy as np

# Streams of randomness that must not meet for the same seed, epoch and index.
_ORDER, _NOISE, _VALIDATION_NOISE = 0, 1, 2


def _generator(seed: int, stream: int, *place: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, stream, *place))))


def batch_count(images: int, batch_size: int) -> int:
    """Return how many batches an epoch has, the last and short one included."""
    return -(-images // batch_size)


def epoch_order(images: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the rows of a split in the order of one epoch: an exact shuffle of all of them.

    Returns:
        int64 (images,), a permutation that depends on seed and epoch alone.
    """
    return _generator(seed, _ORDER, epoch).permutation(images)


def batch_rows(order: np.ndarray, *, batch_size: int, index: int) -> np.ndarray:
    """Return the rows of batch `index` of an epoch with that order; the last may be shorter."""
    return order[index * batch_size : (index + 1) * batch_size]


def noise(shape: tuple[int, int], *, seed: int, epoch: int, index: int) -> np.ndarray:
    """Return the noise that samples the z-points of a training batch, from N(0, I).

    Args:
        shape: (n, z_dim).
        seed: the training seed.
        epoch: the epoch, from 1.
        index: the batch within the epoch, from 0.

    Returns:
        float32 of that shape.
    """
    generator = _generator(seed, _NOISE, epoch, index)
    return generator.standard_normal(shape, dtype=np.float32)


def validation_noise(shape: tuple[int, int], *, seed: int, index: int) -> np.ndarray:
    """Return the noise of a validation batch: the same every epoch, so that epochs compare."""
    generator = _generator(seed, _VALIDATION_NOISE, index)
    return generator.standard_normal(shape, dtype=np.float32)
