"""One kernel for each variable moves it as Keras' Adam does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from celeba_vae.training.fused_adam import FusedAdam


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_clipnorm": 0.5},
        {"use_ema": True, "ema_momentum": 0.9},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 20)},
    ],
    ids=["plain", "clipped", "averaged", "scheduled"],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)])
def test_as_keras(options: dict[str, object], dtype: str, tolerance: float) -> None:
    random = np.random.default_rng(3)
    shapes = [(5, 4), (7,), ()]
    first = [random.normal(size=shape) for shape in shapes]
    gradients = [[random.normal(size=shape) for shape in shapes] for _ in range(20)]
    ended = []
    for adam in (FusedAdam, keras.optimizers.Adam):
        variables = [keras.Variable(value, dtype=dtype) for value in first]
        optimizer = adam(**{"learning_rate": 0.1, **options})
        optimizer.build(variables)
        # Compiled, as in training.
        apply = tf.function(optimizer.apply)
        for step in gradients:
            apply([tf.constant(value, dtype) for value in step])
        ended.append([np.array(value) for value in (*variables, *optimizer.variables)])
    for ours, theirs in zip(*ended, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert not np.allclose(ended[0][0], first[0])
