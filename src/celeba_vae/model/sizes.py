"""Sizes of a model by its parameters alone, before any memory is asked for.

Knows no Keras: a backend that is asked for too much ends in a traceback, or is killed.
"""

import itertools
import operator

from celeba_vae.params import ModelParams, TrainParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.processes import available_bytes

# The inner convolution of a residual block has an eighth of its maps. With the default filters
# the blocks are 2 % of the Encoder's parameters and 4 % of the Decoder's, and a step takes 1.5
# times as long; with a quarter 4 %, 8 % and 1.6 times.
NARROWING = 8

# Bytes of a weight; and in training there are its gradient and Adam's two moments as well.
_FLOAT32 = 4
_COPIES = 4


def count_weights(params: ModelParams, *, size: int) -> int:
    """Return the number of weights of Encoder and Decoder together.

    Args:
        params: the architecture.
        size: side of the square RGB images, in pixels.
    """
    kernel, filters, z_dim = params.kernel, params.filters, params.z_dim
    count = 0
    for before, after in zip([3, *filters[:-1]], filters, strict=True):
        # The Decoder mirrors the Encoder: the same convolution the other way round.
        count += _weighted(kernel**2 * before, after) + _weighted(kernel**2 * after, before)
        if params.blocks == "residual":
            count += 2 * _residual(params, after)
    if params.batch_norm:  # all but the Decoder's last convolution, with four weights a map
        count += 4 * (sum(filters) + sum(filters[:-1]))
    flat = _sides(params, size)[-1] ** 2 * filters[-1]
    count += _weighted(z_dim, flat)
    if params.inter_dense is not None:
        count += _weighted(flat, params.inter_dense)
        flat = params.inter_dense
    return count + _weighted(flat, 2 * z_dim if params.variational else z_dim)


def check_memory(params: ModelParams, *, size: int, train: TrainParams | None = None) -> None:
    """Raise UserError if this machine lacks the memory for a model, or for its training.

    What is counted is the least that can do: the weights, with `train` also their gradients, the
    optimizer's two moments of each, and the outputs of all convolutions for one micro-batch.

    Args:
        params: the architecture.
        size: side of the square RGB images, in pixels; the product of the strides divides it.
        train: how it is trained; None where it is only used.
    """
    weights = count_weights(params, size=size)
    needed, purpose = _FLOAT32 * weights, f"{weights:,} weights"
    if train is not None:
        images = train.batch_size // train.accumulate
        needed = _COPIES * needed + images * _bytes_of_maps(params, size, train.precision)
        purpose += f" with gradients and moments, and the maps of {images:,} images"
    available = available_bytes()
    if needed > available:
        raise UserError(
            f"the model needs {needed / 1e9:,.1f} GB of memory ({purpose}), and "
            f"{available / 1e9:,.1f} GB are free: choose smaller model.filters, model.kernel, "
            "model.z_dim, model.inter_dense or train.batch_size, or larger model.strides"
        )


def _weighted(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _residual(params: ModelParams, maps: int) -> int:
    narrow = max(1, maps // NARROWING)
    norm = 4 * narrow if params.batch_norm else 0
    return _weighted(params.kernel**2 * maps, narrow) + norm + _weighted(narrow, maps)


def _sides(params: ModelParams, size: int) -> list[int]:
    """Return the side of the image, then of the maps of each level, in pixels."""
    return [size // shrink for shrink in itertools.accumulate([1, *params.strides], operator.mul)]


def _bytes_of_maps(params: ModelParams, size: int, precision: str) -> int:
    outer, *inner = _sides(params, size)
    encoded = sum(side**2 * maps for side, maps in zip(inner, params.filters, strict=True))
    # The Decoder's convolutions give the maps of the level above, the last one the image.
    levels = zip([outer, *inner[:-1]], [3, *params.filters[:-1]], strict=True)
    decoded = sum(side**2 * maps for side, maps in levels)
    return (2 if precision == "bfloat16" else _FLOAT32) * (encoded + decoded)
