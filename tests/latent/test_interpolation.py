import numpy as np

from celeba_vae.latent.interpolation import interpolate


def test_points_are_equally_spaced_from_one_end_to_the_other() -> None:
    starts = np.array([[0.0, 0.0], [1.0, 1.0]], np.float32)
    ends = np.array([[4.0, -8.0], [1.0, 2.0]], np.float32)
    points = interpolate(starts, ends, steps=5)
    assert points.dtype == np.float32
    assert points[0].tolist() == [[0, 0], [1, -2], [2, -4], [3, -6], [4, -8]]
    assert points[1].tolist() == [[1, 1], [1, 1.25], [1, 1.5], [1, 1.75], [1, 2]]
    assert np.array_equal(interpolate(starts, ends, steps=2), np.stack([starts, ends], axis=1))
