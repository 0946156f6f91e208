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
def test_as_keras(options: dict[str, object]) -> None:
    random = np.random.default_rng(3)
    shapes = [(5, 4), (7,), ()]
    first = [random.normal(size=shape) for shape in shapes]
    gradients = [[random.normal(size=shape) for shape in shapes] for _ in range(20)]
    ended = []
    for adam in (FusedAdam, keras.optimizers.Adam):
        variables = [keras.Variable(value, dtype="float32") for value in first]
        optimizer = adam(**{"learning_rate": 0.1, **options})
        optimizer.build(variables)
        # Compiled, as in training.
        apply = tf.function(optimizer.apply)
        for step in gradients:
            apply([tf.constant(value, tf.float32) for value in step])
        ended.append([np.array(value) for value in (*variables, *optimizer.variables)])
    for ours, theirs in zip(*ended, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not np.allclose(ended[0][0], first[0])


def test_in_float64_as_in_the_paper() -> None:
    # Keras' Adam rounds its betas to float32 in float64 too, so it is no measure here.
    random = np.random.default_rng(4)
    value, m, v = random.normal(size=6), np.zeros(6), np.zeros(6)
    variable = keras.Variable(value, dtype="float64")
    optimizer = FusedAdam(0.125)
    optimizer.build([variable])
    for step in range(1, 31):
        gradient = random.normal(size=6)
        optimizer.apply([tf.constant(gradient)])
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        # The order of section 2's last paragraph, where epsilon stands beside the plain root.
        rate = 0.125 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        value = value - rate * m / (np.sqrt(v) + 1e-7)
        np.testing.assert_allclose(np.array(variable), value, rtol=1e-9)
