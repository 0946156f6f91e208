from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from celeba_vae.evaluate.inception import inception_features, load_inception
from celeba_vae.runtime.errors import UserError


def write_graph(path: Path) -> None:
    """Write a frozen graph with the names of Inception's; its features are the mean colour."""
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, (None, None, 3), name="pixels")
        batch = tf.expand_dims(pixels, 0, name="ExpandDims")
        resized = tf.compat.v1.image.resize_bilinear(batch, (2, 2))
        tf.nn.avg_pool2d(resized, 2, 1, "VALID", name="pool_3")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def test_a_published_graph_of_one_image_takes_many(tmp_path: Path) -> None:
    write_graph(tmp_path / "graph.pb")
    images = np.full((70, 8, 8, 3), 10, np.uint8)
    images[69] = 255
    features = inception_features(load_inception(tmp_path / "graph.pb"), images)
    assert features.shape == (70, 3)
    assert np.allclose(features[:69], 10)
    assert np.allclose(features[69], 255)


def test_what_is_not_the_network_gets_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.pb"
    with pytest.raises(UserError, match="No such file"):
        load_inception(missing)
    broken = tmp_path / "broken.pb"
    broken.write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="not a TensorFlow graph; give classify_image_graph_def"):
        load_inception(broken)
    other = tmp_path / "other.pb"
    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="something")
    other.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(UserError, match="it lacks ExpandDims:0 or pool_3:0"):
        load_inception(other)
