from collections.abc import Callable, Mapping

import numpy as np
import pytest

from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, Params, TrainParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import Split
from celeba_vae.training.fit import HISTORY_COLUMNS, FitResult, fit, runs_of_epoch
from celeba_vae.training.state import State

Make = Callable[..., ModelParams]
MakeTrain = Callable[..., TrainParams]


@pytest.fixture
def train_params(tiny: Params) -> MakeTrain:
    """Make training parameters for a few images, with changes."""

    def make(**changes: object) -> TrainParams:
        few = {"epochs": 3, "batch_size": 16, "learning_rate": 0.003, "kl_weight": 1.0}
        return TrainParams.model_validate(tiny.train.model_dump() | few | changes)

    return make


def split(images: np.ndarray) -> Split:
    half = len(images) // 2
    return Split((images[:half], images[half:]), np.array([0, half, len(images)]))


class Kept:
    """What a fit handed out while it ran."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.rows: list[Mapping[str, float]] = []


def fitted(
    images: np.ndarray,
    model: ModelParams,
    train: TrainParams,
    *,
    state: State | None = None,
    checkpoint_steps: int = 1000,
    kept: Kept | None = None,
) -> tuple[VAE, FitResult]:
    kept = kept or Kept()
    vae = VAE(
        model,
        size=32,
        seed=train.seed,
        learned_sigma=train.sigma == "learned",
        precision=train.precision,
    )
    return vae, fit(
        vae,
        split(images),
        split(images[:10]),
        train,
        checkpoint_steps=checkpoint_steps,
        state=state,
        keep_state=kept.states.append,
        check_images=lambda: None,
        on_epoch_end=kept.rows.append,
    )


def weights(vae: VAE) -> np.ndarray:
    return np.concatenate([np.asarray(weight).ravel() for weight in vae.weights])


@pytest.mark.parametrize("loss", ["bernoulli", "gaussian"])
def test_training_learns(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray, loss: str
) -> None:
    train = train_params(epochs=12, loss=loss, sigma=0.1 if loss == "gaussian" else None)
    kept = Kept()
    _, found = fitted(random_images, model_params(filters=[8, 16]), train, kept=kept)
    history = found.history
    assert kept.rows == history
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert found.epoch == 12
    assert all(tuple(row) == HISTORY_COLUMNS for row in history)
    for prefix in ("", "val_"):
        assert history[-1][f"{prefix}loss"] < 0.95 * history[0][f"{prefix}loss"]
        for row in history:
            total = row[f"{prefix}reconstruction"] + row[f"{prefix}kl_weighted"]
            assert row[f"{prefix}loss"] == pytest.approx(total, rel=1e-5)
            assert row[f"{prefix}kl_weighted"] == pytest.approx(row[f"{prefix}kl"], rel=1e-5)
    for row, by_dimension in zip(history, found.kl_per_dimension, strict=True):
        assert sum(by_dimension) == pytest.approx(row["val_kl"], rel=1e-5)
        assert row["gradient_norm"] > 0
        assert row["learning_rate"] == pytest.approx(0.003)


def test_same_seed_same_bits_other_seed_other_bits(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    runs = [
        fitted(random_images, model_params(), train_params(seed=seed, epochs=2))
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(weights(runs[0][0]), weights(runs[1][0]))
    assert runs[0][1] == runs[1][1]
    assert not np.array_equal(weights(runs[0][0]), weights(runs[2][0]))


OPTIONS = [
    {},
    {
        "ema": 0.8,
        "select": "best",
        "clip_norm": 50.0,
        "kl_schedule": "linear",
        "kl_schedule_epochs": 2,
        "learning_rate_schedule": "exponential",
        "learning_rate_decay": 0.7,
    },
    {"loss": "gaussian", "sigma": "learned", "learning_rate_schedule": "cosine"},
    {"ema": 0.5, "accumulate": 4},
    pytest.param({"precision": "bfloat16", "accumulate": 4}, marks=pytest.mark.native),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "many", "learned", "lean", "bfloat16"])
def test_a_fit_that_goes_on_from_any_step_ends_in_the_same_bits(
    model_params: Make,
    train_params: MakeTrain,
    random_images: np.ndarray,
    options: dict[str, object],
) -> None:
    model, train = model_params(), train_params(**options)
    kept = Kept()
    vae, whole = fitted(random_images, model, train, checkpoint_steps=1, kept=kept)
    # Three epochs of three steps: after each step but the last, and after each epoch.
    assert [(state.epoch, state.step) for state in kept.states] == [
        (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (4, 0),
    ]  # fmt: skip
    for state in kept.states[1::3] + kept.states[-1:]:
        again, resumed = fitted(random_images, model, train, state=state)
        assert weights(again).tobytes() == weights(vae).tobytes()
        assert resumed == whole


def test_more_epochs_go_on_where_fewer_ended(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    kept = Kept()
    _, short = fitted(random_images, model_params(), train_params(epochs=2), kept=kept)
    straight, long = fitted(random_images, model_params(), train_params(epochs=3))
    assert long.history[:2] == short.history
    gone_on, longer = fitted(
        random_images, model_params(), train_params(epochs=3), state=kept.states[-1]
    )
    assert longer == long
    assert weights(gone_on).tobytes() == weights(straight).tobytes()


def test_a_large_kl_weight_confines_the_z_points(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    kls = [
        fitted(random_images, model_params(), train_params(kl_weight=weight, epochs=8))[1].history[
            -1
        ]["val_kl"]
        for weight in (0.0, 1000.0)
    ]
    assert kls[1] < 0.1 * kls[0]


def test_a_kl_schedule_weighs_training_but_not_validation(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    train = train_params(kl_weight=8.0, kl_schedule="linear", kl_schedule_epochs=2)
    _, found = fitted(random_images, model_params(), train)
    # Three steps an epoch; the last of epoch 1 is the third of six, and has done two.
    assert [row["kl_weight"] for row in found.history] == pytest.approx([8 * 2 / 6, 8 * 5 / 6, 8])
    for row in found.history:
        assert row["val_kl_weighted"] == pytest.approx(8 * row["val_kl"], rel=1e-5)
    assert found.history[0]["kl_weighted"] < 8 * found.history[0]["kl"]


def test_batch_norm_momentum_is_the_parameters(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    # One step from a moving mean of 0: momentum 0 takes the batch's mean, 0.9 a tenth of it.
    means = []
    for momentum in (0.0, 0.9):
        params = model_params(batch_norm_momentum=momentum)
        vae, _ = fitted(random_images, params, train_params(epochs=1, batch_size=40))
        means.append(np.asarray(vae.encoder.get_layer("norm_1").moving_mean))
    assert np.allclose(means[1], 0.1 * means[0], rtol=1e-4, atol=1e-7)
    assert np.abs(means[0]).max() > 0


def test_best_is_the_epoch_with_the_smallest_validation_loss(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    # So large a step size that validation jumps up and down.
    wild = {"epochs": 6, "learning_rate": 0.2}
    _, last = fitted(random_images, model_params(log_var_bound=5.0), train_params(**wild))
    losses = [row["val_loss"] for row in last.history]
    best = losses.index(min(losses)) + 1
    assert last.epoch == 6
    chosen, found = fitted(
        random_images, model_params(log_var_bound=5.0), train_params(**wild, select="best")
    )
    assert found.history == last.history
    assert found.epoch == best
    assert best < 6, "validation went down to the end: this test shows nothing"
    short, _ = fitted(
        random_images, model_params(log_var_bound=5.0), train_params(**wild | {"epochs": best})
    )
    assert weights(chosen).tobytes() == weights(short).tobytes()


def test_early_stopping_ends_the_fit(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    wild = {"epochs": 30, "learning_rate": 0.2}
    kept = Kept()
    _, found = fitted(
        random_images,
        model_params(log_var_bound=5.0),
        train_params(**wild, early_stopping=2),
        kept=kept,
    )
    losses = [row["val_loss"] for row in found.history]
    assert len(losses) < 30
    assert losses.index(min(losses)) == len(losses) - 3
    _, again = fitted(
        random_images,
        model_params(log_var_bound=5.0),
        train_params(**wild, early_stopping=2),
        state=kept.states[-1],
    )
    assert again == found


def test_the_average_of_the_weights_is_what_is_validated_and_left(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    # One kernel is followed by hand: the average takes a share of each step's new weights.
    model = model_params(batch_norm=False)
    kept = Kept()
    train = train_params(epochs=2, ema=0.75)
    averaged, _ = fitted(random_images, model, train, checkpoint_steps=1, kept=kept)
    plain_kept = Kept()
    fitted(random_images, model, train_params(epochs=2), checkpoint_steps=1, kept=plain_kept)
    place = [weight.path for weight in averaged.weights].index("conv_1/kernel")
    average = plain_kept.states[0].arrays["weights"][place]
    for state, plain in zip(kept.states, plain_kept.states, strict=True):
        # The fit itself goes on with the weights, not with their average.
        assert np.array_equal(state.arrays["weights"][place], plain.arrays["weights"][place])
        average = 0.75 * average + 0.25 * plain.arrays["weights"][place]
    assert np.allclose(np.asarray(averaged.weights[place]), average, rtol=1e-5, atol=1e-7)
    assert not np.allclose(average, plain.arrays["weights"][place], rtol=1e-3)


def test_a_loss_that_is_not_finite_stops_with_its_place(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    kept = Kept()
    with pytest.raises(UserError) as caught:
        fitted(
            random_images,
            model_params(),
            train_params(learning_rate=1e6),
            checkpoint_steps=1,
            kept=kept,
        )
    text = str(caught.value)
    assert "the loss is not finite at epoch 1, step 2" in text
    assert "try a smaller train.learning_rate" in text
    assert "\n" not in text
    assert [(state.epoch, state.step) for state in kept.states] == [(1, 1)]


def test_a_last_step_that_spoils_the_weights_is_found_by_validation(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    train = train_params(learning_rate=1e6, epochs=1, batch_size=40)
    kept = Kept()
    with pytest.raises(UserError, match=r"after epoch 1 loss, .* of validation are not finite; no"):
        fitted(random_images, model_params(), train, kept=kept)
    assert not kept.states


def test_a_gradient_that_is_not_finite_stops_with_its_name(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    # With huge logits the loss is still a number, but the squares of its gradient overflow.
    model, train = model_params(variational=False, batch_norm=False), train_params(epochs=1)
    kept = Kept()
    fitted(random_images, model, train, checkpoint_steps=1, kept=kept)
    huge = kept.states[0]
    huge.arrays["weights"] = [5e3 * weight for weight in huge.arrays["weights"]]
    with pytest.raises(UserError, match="the gradient is not finite at epoch 1, step 2: loss "):
        fitted(random_images, model, train, state=huge)


def test_runs_end_where_states_are_kept_and_before_the_short_batch() -> None:
    runs = runs_of_epoch(range(0, 11), longest=4, every=6, before=11, whole=10)
    # 11 steps were done before: the 12th, the 18th and so on are those after which states are kept.
    assert runs == [range(0, 1), range(1, 5), range(5, 7), range(7, 10), range(10, 11)]
    assert runs_of_epoch(range(5, 11), longest=4, every=6, before=11, whole=10) == runs[2:]
    assert runs_of_epoch(range(11, 11), longest=4, every=6, before=11, whole=10) == []
    assert runs_of_epoch(range(0, 3), longest=9, every=99, before=0, whole=3) == [range(0, 3)]


@pytest.mark.parametrize("loss", ["bernoulli", "gaussian"])
def test_micro_batches_without_batch_norm_are_the_whole_batch(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray, loss: str
) -> None:
    # The last batch has 8 images: two micro-batches of 3 and one of 2 with accumulate 5.
    found = [
        fitted(
            random_images,
            model_params(batch_norm=False),
            train_params(
                accumulate=accumulate,
                batch_size=15,
                clip_norm=20.0,
                loss=loss,
                sigma="learned" if loss == "gaussian" else None,
            ),
        )[1]
        for accumulate in (1, 3, 5, 15)
    ]
    for other in found[1:]:
        for row, whole in zip(other.history, found[0].history, strict=True):
            assert row == pytest.approx(whole, rel=1e-5)


def test_micro_batches_with_batch_norm_are_normalised_by_themselves(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    kept = [Kept(), Kept()]
    for accumulate, one in zip((1, 8), kept, strict=True):
        train = train_params(accumulate=accumulate, epochs=1)
        fitted(random_images, model_params(), train, checkpoint_steps=1, kept=one)
    whole, cut = (one.states[0].notes["sums"]["reconstruction"] for one in kept)
    assert cut == pytest.approx(whole, rel=0.05)
    assert cut != pytest.approx(whole, rel=1e-4)
    # One step of the optimizer each, and eight of the moving averages.
    assert int(kept[1].states[0].arrays["optimizer"][0]) == 1


@pytest.mark.native
def test_bfloat16_is_close_to_float32_and_its_weights_are_float32(
    model_params: Make, train_params: MakeTrain, random_images: np.ndarray
) -> None:
    kept = [Kept(), Kept()]
    for precision, one in zip(("float32", "bfloat16"), kept, strict=True):
        train = train_params(precision=precision, epochs=1, kl_weight=15.0)
        vae, _ = fitted(random_images, model_params(), train, checkpoint_steps=1, kept=one)
        assert {array.dtype for array in one.states[0].arrays["weights"]} == {np.dtype("float32")}
    layer = vae.encoder.get_layer("conv_1")
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    # After one step: the losses of the same weights.
    first, second = (one.states[0].notes["sums"] for one in kept)
    assert second != first
    for term, value in second.items():
        allowed = 1e-2 if term == "gradient_norm" else 3e-3
        assert value == pytest.approx(first[term], rel=allowed), term
