"""Inception network that defines FID, run as it was published.

Its weights are not part of this project: users bring their own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from celeba_vae.runtime.arrays import Floats, Pixels
from celeba_vae.runtime.errors import UserError, reason_of

# The names in the graph of Szegedy et al. as TensorFlow published it in December 2015. Ports of
# it to other frameworks agree with it; Keras' InceptionV3 is another network, and what it gives
# is no FID.
_INPUT, _OUTPUT = "ExpandDims:0", "pool_3:0"

_BLOCK = 32

_EXPECTED = "give classify_image_graph_def.pb, out of TensorFlow's inception-2015-12-05.tgz"

# From float32 images (n, S, S, 3), 0 to 255, to features (n, 1, 1, 2048).
Inception = Callable[[Any], Any]


def load_inception(path: Path) -> Inception:
    """Load the network from TensorFlow's graph of it; neither PyTorch nor a port is needed.

    Args:
        path: `classify_image_graph_def.pb`, out of TensorFlow's inception-2015-12-05.tgz.

    Returns:
        The network; it resizes to 299 pixels itself.

    Raises:
        UserError: no such file, or it holds no such graph.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except OSError as error:
        raise UserError(f"evaluate.fid = {path}: cannot be read: {reason_of(error)}") from None
    except DecodeError:
        raise UserError(f"evaluate.fid = {path}: is not a TensorFlow graph; {_EXPECTED}") from None

    def features(images: Any) -> Any:
        (output,) = tf.graph_util.import_graph_def(
            graph, input_map={_INPUT: images}, return_elements=[_OUTPUT]
        )
        return output

    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    try:
        network: Inception = tf.compat.v1.wrap_function(features, signature)
    except (ValueError, KeyError):
        raise UserError(
            f"evaluate.fid = {path}: is not FID's Inception graph: it lacks {_INPUT} or "
            f"{_OUTPUT}; {_EXPECTED}"
        ) from None
    return network


def inception_features(inception: Inception, images: Pixels) -> Floats:
    """Return the Inception features of images (n, S, S, 3), (n, 2048)."""
    blocks = [
        np.asarray(inception(tf.constant(images[start : start + _BLOCK], tf.float32)))
        for start in range(0, len(images), _BLOCK)
    ]
    return np.concatenate(blocks).reshape(len(images), -1).astype(np.float64)
