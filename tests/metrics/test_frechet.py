from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from celeba_vae.metrics.frechet import features_of, frechet_distance, load_inception
from celeba_vae.runtime.errors import UserError


def with_moments(mean: np.ndarray, covariance: np.ndarray, count: int = 400) -> np.ndarray:
    """Points with exactly this mean and covariance."""
    points = np.random.default_rng(1).standard_normal((count, len(mean)))
    points -= points.mean(axis=0)
    spread = np.atleast_2d(np.cov(points, rowvar=False))
    points = points @ np.linalg.inv(np.linalg.cholesky(spread)).T
    moved: np.ndarray = points @ np.linalg.cholesky(covariance).T + mean
    return moved


def test_normal_distributions_with_common_axes() -> None:
    one = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    other = with_moments(np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    # |m1 - m2|^2 = 9, and the sum of (s1 - s2)^2 is 1 + 0 + 4.
    assert frechet_distance(one, other) == pytest.approx(14)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_covariances_that_do_not_commute() -> None:
    first = np.array([[2.0, 1.0], [1.0, 3.0]])
    second = np.array([[5.0, -2.0], [-2.0, 1.0]])
    one, other = with_moments(np.zeros(2), first), with_moments(np.zeros(2), second)
    # tr sqrt(A) of a 2 x 2 matrix is sqrt(tr A + 2 sqrt(det A)).
    product = first @ second
    shared = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * shared
    assert frechet_distance(one, other) == pytest.approx(expected)
    assert frechet_distance(other, one) == pytest.approx(expected)


def test_fewer_images_than_features() -> None:
    # All spread along one axis, deviation 2, against a copy with the deviation 3.
    points = np.zeros((50, 200))
    points[:, 0] = with_moments(np.zeros(1), np.eye(1), 50)[:, 0]
    assert frechet_distance(2 * points, 3 * points) == pytest.approx(1)


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
    features = features_of(load_inception(tmp_path / "graph.pb"), images)
    assert features.shape == (70, 3)
    assert np.allclose(features[:69], 10)
    assert np.allclose(features[69], 255)


def test_what_is_not_the_network_gets_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.pb"
    with pytest.raises(UserError, match="No such file"):
        load_inception(missing)
    broken = tmp_path / "broken.pb"
    broken.write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="no TensorFlow graph; give classify_image_graph_def"):
        load_inception(broken)
    other = tmp_path / "other.pb"
    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="something")
    other.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(UserError, match="lacks ExpandDims:0 or pool_3:0"):
        load_inception(other)
