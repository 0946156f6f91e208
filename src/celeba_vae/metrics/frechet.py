"""FID with the network that defines it, for those who have its weights."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from celeba_vae.runtime.errors import UserError

Floats = NDArray[np.float64]

# The names in the graph of Szegedy et al. as TensorFlow published it in December 2015. Ports of
# it to other frameworks agree with it; Keras' InceptionV3 is another network, and what it gives
# is no FID.
_INPUT, _OUTPUT = "ExpandDims:0", "pool_3:0"

_BLOCK = 32


def load_inception(path: Path) -> Any:
    """Return the Inception network of FID as a function of images.

    The graph runs in TensorFlow as it was published, so neither PyTorch nor a port is needed.

    Args:
        path: `classify_image_graph_def.pb`, out of TensorFlow's inception-2015-12-05.tgz.

    Returns:
        A function from float32 images (n, S, S, 3), 0 to 255, to features (n, 1, 1, 2048). The
        graph resizes to 299 pixels itself.

    Raises:
        UserError: no such file, or it holds no such graph.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except OSError as error:
        raise UserError(f"evaluate.fid = {path}: cannot be read: {error.strerror}") from None
    except DecodeError:
        raise UserError(f"evaluate.fid = {path}: is no TensorFlow graph; {_EXPECTED}") from None

    def features(images: Any) -> Any:
        (output,) = tf.graph_util.import_graph_def(
            graph, input_map={_INPUT: images}, return_elements=[_OUTPUT]
        )
        return output

    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    try:
        return tf.compat.v1.wrap_function(features, signature)
    except (ValueError, KeyError):
        raise UserError(
            f"evaluate.fid = {path}: is not the graph of FID, for it lacks {_INPUT} or {_OUTPUT}; "
            f"{_EXPECTED}"
        ) from None


_EXPECTED = "give classify_image_graph_def.pb, out of TensorFlow's inception-2015-12-05.tgz"


def features_of(inception: Any, images: NDArray[np.uint8]) -> Floats:
    """Return the Inception features of images (n, S, S, 3) as (n, 2048)."""
    blocks = [
        np.asarray(inception(tf.constant(images[start : start + _BLOCK], tf.float32)))
        for start in range(0, len(images), _BLOCK)
    ]
    return np.concatenate(blocks).reshape(len(images), -1).astype(np.float64)


def frechet_distance(one: Floats, other: Floats) -> float:
    """Return the Frechet distance between normal distributions fitted to two sets of features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) with the unbiased covariances C (Heusel et al. 2017,
    equation 6).

    Args:
        one: (n, d) with n at least 2.
        other: (m, d) with m at least 2.
    """
    difference = one.mean(axis=0) - other.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(points, rowvar=False)) for points in (one, other))
    values, axes = np.linalg.eigh(first)
    root = (axes * np.sqrt(np.clip(values, 0, None))) @ axes.T
    # C1 C2 has the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2): unlike a matrix square root
    # this holds, and stays real, where there are fewer images than features.
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * shared)
