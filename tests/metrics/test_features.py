import numpy as np

from celeba_vae.metrics.features import random_features, thumbnails


def test_features_follow_image_and_seed_alone(random_images: np.ndarray) -> None:
    features = random_features(random_images, seed=1)
    assert features.shape == (40, 4096)
    assert features.dtype == np.float32
    assert np.array_equal(features, random_features(random_images, seed=1))
    assert np.allclose(features[7], random_features(random_images[7:8], seed=1)[0], atol=1e-5)
    assert not np.allclose(features, random_features(random_images, seed=2))
    assert (features >= 0).all()


def test_an_image_means_the_same_at_another_size(random_images: np.ndarray) -> None:
    larger = random_images.repeat(4, axis=1).repeat(4, axis=2)
    doubled = random_images.repeat(2, axis=1).repeat(2, axis=2)
    assert np.allclose(random_features(larger, seed=1), random_features(doubled, seed=1), atol=1e-4)


def test_like_images_are_near(random_images: np.ndarray) -> None:
    # Images four rows apart show the same pattern.
    features = random_features(random_images, seed=1)
    same = np.linalg.norm(features[:36] - features[4:], axis=1)
    other = np.linalg.norm(features[:36] - features[1:37], axis=1)
    assert same.max() < other.min()


def test_thumbnails_are_means_of_pixels(random_images: np.ndarray) -> None:
    assert np.allclose(thumbnails(random_images).reshape(40, 32, 32, 3), random_images / 255)
    larger = random_images.repeat(3, axis=1).repeat(3, axis=2)
    assert np.allclose(thumbnails(larger), thumbnails(random_images), atol=1e-6)
