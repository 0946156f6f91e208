import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.params import Params, TrainParams
from celeba_vae.training.schedules import (
    best_epoch,
    ends_early,
    kl_weight_at,
    make_optimizer,
    total_matters,
)


@pytest.fixture(scope="session")
def train(tiny: Params) -> TrainParams:
    return tiny.train


def changed(train: TrainParams, **changes: object) -> TrainParams:
    return TrainParams.model_validate(train.model_dump() | changes)


def test_a_constant_kl_weight(train: TrainParams) -> None:
    assert {kl_weight_at(step, train, steps_per_epoch=7) for step in range(50)} == {train.kl_weight}


def test_a_linear_kl_weight_grows_and_stays(train: TrainParams) -> None:
    linear = changed(train, kl_schedule="linear", kl_schedule_epochs=2, kl_weight=10.0)
    found = [kl_weight_at(step, linear, steps_per_epoch=5) for step in range(13)]
    assert found == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10])


def test_a_cyclical_kl_weight_begins_anew(train: TrainParams) -> None:
    cyclical = changed(train, kl_schedule="cyclical", kl_schedule_epochs=2, kl_weight=4.0)
    found = [kl_weight_at(step, cyclical, steps_per_epoch=4) for step in range(18)]
    cycle = [0, 1, 2, 3, 4, 4, 4, 4]
    assert found == pytest.approx([*cycle, *cycle, 0, 1])


@given(step=st.integers(0, 10_000), epochs=st.integers(1, 50), steps=st.integers(1, 99))
@pytest.mark.parametrize("schedule", ["linear", "cyclical"])
def test_the_kl_weight_stays_within_its_bounds(
    schedule: str, step: int, epochs: int, steps: int, train: TrainParams
) -> None:
    params = changed(train, kl_schedule=schedule, kl_schedule_epochs=epochs)
    assert 0 <= kl_weight_at(step, params, steps_per_epoch=steps) <= params.kl_weight


def rates(params: TrainParams, steps_per_epoch: int) -> list[float]:
    optimizer = make_optimizer(params, steps_per_epoch=steps_per_epoch)
    found = []
    for _ in range(params.epochs * steps_per_epoch + 1):
        found.append(float(optimizer.learning_rate))
        optimizer.iterations.assign_add(1)
    return found


def test_the_learning_rate_follows_its_schedule(train: TrainParams) -> None:
    params = changed(train, epochs=4, learning_rate=0.01)
    assert rates(params, 5) == pytest.approx([0.01] * 21)
    cosine = changed(params, learning_rate_schedule="cosine")
    expected = [0.005 * (1 + math.cos(math.pi * step / 20)) for step in range(21)]
    assert rates(cosine, 5) == pytest.approx(expected, abs=1e-8)
    exponential = changed(params, learning_rate_schedule="exponential", learning_rate_decay=0.5)
    assert rates(exponential, 5)[::5] == pytest.approx([0.01 / 2**epoch for epoch in range(5)])
    assert [total_matters(each) for each in (params, cosine, exponential)] == [False, True, False]


def test_the_gradient_is_clipped_by_its_length(train: TrainParams) -> None:
    # Adam's first moment after one step is a tenth of the gradient that it was given.
    variables = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(1, np.float32))]
    gradients = [np.array([3.0, 0.0], np.float32), np.array([4.0], np.float32)]
    for clip_norm, expected in ((None, [0.3, 0.0, 0.4]), (1.0, [0.06, 0.0, 0.08])):
        optimizer = make_optimizer(changed(train, clip_norm=clip_norm), steps_per_epoch=1)
        optimizer.build(variables)
        optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients])
        moments = [np.asarray(v) for v in optimizer.variables if "momentum" in v.path]
        assert np.concatenate(moments).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        ([3.0, 2.0, 1.0], 1, False),
        ([3.0, 2.0, 2.5], 1, True),
        ([3.0, 2.0, 2.5], 2, False),
        ([3.0, 2.0, 2.5, 2.1], 2, True),
        ([3.0, 2.0, 2.5, 1.9, 2.0], 2, False),
        ([3.0, 4.0, 5.0, 6.0], None, False),
        ([], 1, False),
    ],
)
def test_a_fit_ends_early_when_validation_stays_worse(
    losses: list[float], patience: int | None, ends: bool
) -> None:
    assert ends_early(losses, patience) is ends


# Few different values, so that equal ones come often.
@given(losses=st.lists(st.sampled_from([1.0, 2.0, 3.0]), max_size=8), patience=st.integers(1, 4))
def test_it_ends_where_the_callback_of_keras_ends_it(losses: list[float], patience: int) -> None:
    callback = keras.callbacks.EarlyStopping("val_loss", patience=patience, mode="min")
    model = keras.Model()
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(losses, start=1):
        callback.on_epoch_end(epoch - 1, {"val_loss": value})
        assert ends_early(losses[:epoch], patience) is model.stop_training
        if model.stop_training:
            break


def test_the_best_epoch_is_the_first_of_the_smallest() -> None:
    assert best_epoch([3.0, 1.0, 2.0, 1.0]) == 2
