"""The training loop: epochs of steps, validation, history; it can stop and go on at any step."""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from celeba_vae.model.counting import Counted, count_bytes
from celeba_vae.model.vae import VAE
from celeba_vae.params import TrainParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import Split
from celeba_vae.training import feed
from celeba_vae.training.interruption import StopRequest, stop_on_request
from celeba_vae.training.parallel import is_main, main_bar
from celeba_vae.training.schedules import best_epoch, ends_early, kl_weight_at, make_optimizer
from celeba_vae.training.state import State
from celeba_vae.training.steps import TERMS, Batch, Step

# Keras has its backend from its first import on.
if keras.backend.backend() == "jax":
    from celeba_vae.training.jax_steps import compile_steps
else:
    from celeba_vae.training.tensorflow_steps import compile_steps

HISTORY_COLUMNS = (
    "epoch",
    "learning_rate",
    "kl_weight",
    *TERMS,
    "gradient_norm",
    *(f"val_{term}" for term in TERMS),
)

_TRY = "try a smaller train.learning_rate, train.clip_norm or model.log_var_bound"

History = list[dict[str, float]]


@dataclass
class _Means:
    """Means over images, in double precision."""

    sums: dict[str, float] = field(default_factory=dict)
    images: int = 0

    def add(self, terms: Mapping[str, float], images: int) -> None:
        for term, value in terms.items():
            self.sums[term] = self.sums.get(term, 0.0) + images * value
        self.images += images

    def values(self) -> dict[str, float]:
        return {term: total / self.images for term, total in self.sums.items()}


@dataclass
class _Progress:
    """How far the fit is, apart from the variables of model and optimizer."""

    epoch: int = 1
    step: int = 0
    means: _Means = field(default_factory=_Means)
    history: History = field(default_factory=list)
    kl_per_dimension: list[list[float]] = field(default_factory=list)
    best: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class FitResult:
    """History and chosen epoch of a fit; the weights are in the model.

    Attributes:
        history: one row an epoch: HISTORY_COLUMNS. Losses are means over the images in nats per
            image; those of training were met during the epoch, while the weights changed.
            `kl` is without, `kl_weighted` with the weight (and the free bits) that counts in
            `loss`; `learning_rate` and `kl_weight` are those of the epoch's last step. Validation
            always weighs the KL with train.kl_weight, so that its epochs compare.
            `gradient_norm` is the mean length of the gradient.
        kl_per_dimension: for each epoch the KL of each dimension on validation, in nats per image.
        epoch: the epoch whose weights the model has.
        counted: what the model and its optimizer need.
    """

    history: History
    kl_per_dimension: list[list[float]]
    epoch: int
    counted: Counted


def fit(
    vae: VAE,
    train: Split,
    validation: Split,
    params: TrainParams,
    *,
    checkpoint_steps: int,
    state: State | None,
    keep_state: Callable[[State], None],
    check_images: Callable[[], None],
    on_epoch_end: Callable[[Mapping[str, float]], None],
) -> FitResult:
    """Train `vae` in place.

    Whether it starts afresh or goes on from any state of the same fit, on the same machine the
    weights become the same bits. Where several processes train, each of them must call it, with
    the same model, images, parameters and state; they give and return the same.

    Args:
        vae: the model, with fresh weights.
        train: the training images.
        validation: the validation images.
        params: the training parameters.
        checkpoint_steps: after how many steps `keep_state` is called, beside after every epoch.
        state: where to go on; None starts afresh.
        keep_state: writes a state, to go on from it later.
        check_images: is called before images are read, and raises if they are not those of before.
        on_epoch_end: is called with each row of the history, while the model has the weights that
            were validated.

    Returns:
        The history; the model then has the weights that `params.select` names.

    Raises:
        UserError: a loss or a gradient that is not finite, of a step or of validation; says
            where, and what to try.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM came; `keep_state` was called.
    """
    batches = feed.batch_count(len(train), params.batch_size)
    optimizer = make_optimizer(params, steps_per_epoch=batches)
    optimizer.build(vae.trainable_variables)
    progress = _Progress() if state is None else _restore(state, vae, optimizer)
    steps = compile_steps(vae, optimizer, params, train, check_images)
    z_dim = vae.decoder.input_shape[-1]

    def keep() -> None:
        keep_state(_snapshot(progress, vae, optimizer))

    def stop_if_asked(request: StopRequest) -> None:
        if not request.asked():
            return
        keep()
        if is_main():
            place = f"epoch {progress.epoch}, step {progress.step}"
            print(f"saved at {place}; the same command goes on from there", file=sys.stderr)
        request.obey()

    done = (progress.epoch - 1) * batches + progress.step
    with (
        main_bar(params.epochs * batches, label="train", unit="steps", done=done) as bar,
        stop_on_request() as request,
    ):
        if is_main():
            bar.write("Losses in nats per image, lower is better", file=sys.stderr)
        while not _is_done(progress, params):
            epoch = progress.epoch
            before = (epoch - 1) * batches
            batch = batches_of_epoch(len(train), params, z_dim=z_dim, epoch=epoch)
            runs = runs_of_epoch(
                range(progress.step, batches),
                longest=steps.longest,
                every=checkpoint_steps,
                before=before,
                whole=len(train) // params.batch_size,
            )
            for run, found in zip(runs, steps.train(runs, batch), strict=True):
                for index, terms in zip(run, found, strict=True):
                    _check_finite(terms, progress.means, epoch=epoch, step=index + 1)
                    images = min(params.batch_size, len(train) - index * params.batch_size)
                    progress.means.add(terms, images)
                progress.step = run.stop
                bar.set_postfix_str(
                    f"epoch {epoch}, loss {terms['loss']:,.1f}, kl {terms['kl']:.1f}", refresh=False
                )
                bar.update(len(run))
                stop_if_asked(request)
                if (before + run.stop) % checkpoint_steps == 0 and progress.step < batches:
                    keep()
            trained = None if params.ema is None else _take_average(vae, optimizer)
            validated = _validate(vae, steps.validate, validation, params, request, check_images)
            if not request.asked():
                _check_validated(validated[0], epoch=epoch)
                rates = {
                    "learning_rate": float(optimizer.learning_rate),
                    "kl_weight": kl_weight_at(epoch * batches - 1, params, steps_per_epoch=batches),
                }
                _end_epoch(progress, rates, validated, vae, params)
                if is_main():
                    line = _epoch_line(progress.history[-1], params.epochs, params.kl_weight)
                    bar.write(line, file=sys.stderr)
                on_epoch_end(progress.history[-1])
            if trained is not None:
                _assign(vae.trainable_variables, trained)
            stop_if_asked(request)
            keep()
    if params.ema is not None:
        _take_average(vae, optimizer)
    chosen = len(progress.history)
    if params.select == "best":
        _assign(vae.weights, progress.best)
        chosen = best_epoch(_val_losses(progress))
    counted = count_bytes(vae, optimizer)
    return FitResult(progress.history, progress.kl_per_dimension, chosen, counted)


def batches_of_epoch(
    images: int, params: TrainParams, *, z_dim: int, epoch: int
) -> Callable[[int], Batch]:
    """Return the function that gives the batch of an index within an epoch."""
    order = feed.epoch_order(images, seed=params.seed, epoch=epoch)
    count = feed.batch_count(images, params.batch_size)

    def batch(index: int) -> Batch:
        rows = feed.batch_rows(order, batch_size=params.batch_size, index=index)
        noise = feed.noise((len(rows), z_dim), seed=params.seed, epoch=epoch, index=index)
        kl_weight = kl_weight_at((epoch - 1) * count + index, params, steps_per_epoch=count)
        return Batch(rows, noise, np.float32(kl_weight))

    return batch


def runs_of_epoch(
    steps: range, *, longest: int, every: int, before: int, whole: int
) -> list[range]:
    """Cut the steps of an epoch into runs of at most `longest`.

    A run ends where a state is kept, which is `every` so many steps, `before` those of this epoch
    included; and before the short batch, which is the one of index `whole`, where there is one.
    """
    runs = []
    first = steps.start
    while first < steps.stop:
        ends = [steps.stop, first + longest, first + every - (before + first) % every]
        if first < whole:
            ends.append(whole)
        runs.append(range(first, min(ends)))
        first = min(ends)
    return runs


def _is_done(progress: _Progress, params: TrainParams) -> bool:
    return progress.epoch > params.epochs or ends_early(
        _val_losses(progress), params.early_stopping
    )


def _val_losses(progress: _Progress) -> list[float]:
    return [row["val_loss"] for row in progress.history]


def _end_epoch(
    progress: _Progress,
    rates: Mapping[str, float],
    validated: tuple[dict[str, float], np.ndarray],
    vae: VAE,
    params: TrainParams,
) -> None:
    """Add the epoch to the history, keep its weights if they are the best, begin the next."""
    row, kl_per_dimension = validated
    means = progress.means.values()
    whole = {"epoch": float(progress.epoch), **rates, **means}
    whole |= {f"val_{name}": value for name, value in row.items()}
    progress.history.append({name: whole[name] for name in HISTORY_COLUMNS})
    progress.kl_per_dimension.append(kl_per_dimension.tolist())
    if params.select == "best" and best_epoch(_val_losses(progress)) == progress.epoch:
        progress.best = _values(vae.weights)
    progress.epoch += 1
    progress.step = 0
    progress.means = _Means()


def _validate(
    vae: VAE,
    validate: Step,
    validation: Split,
    params: TrainParams,
    request: StopRequest,
    check_images: Callable[[], None],
) -> tuple[dict[str, float], np.ndarray]:
    """Return the validation's part of the history's row and the KL of each dimension.

    The plain autoencoder has no KL: none of these. When the process is asked to stop, it breaks
    off, and what it returns is not used.
    """
    means = _Means()
    z_dim = vae.decoder.input_shape[-1]
    kl = np.zeros(z_dim if vae.variational else 0)
    order = np.arange(len(validation))
    kl_weight = np.float32(params.kl_weight)
    for index in range(feed.batch_count(len(validation), params.batch_size)):
        if request.asked():
            break
        rows = feed.batch_rows(order, batch_size=params.batch_size, index=index)
        noise = feed.validation_noise((len(rows), z_dim), seed=params.seed, index=index)
        check_images()
        found = validate(validation.take(rows), noise, kl_weight)
        means.add({term: float(found[term]) for term in TERMS}, len(rows))
        if "kl_per_dimension" in found:
            kl += len(rows) * np.asarray(found["kl_per_dimension"], np.float64)
    return means.values(), kl / max(means.images, 1)


def _snapshot(progress: _Progress, vae: VAE, optimizer: Any) -> State:
    notes = {
        "sums": dict(progress.means.sums),
        "images": progress.means.images,
        "history": list(progress.history),
        "kl_per_dimension": list(progress.kl_per_dimension),
    }
    arrays = {
        "weights": _values(vae.weights),
        "optimizer": _values(optimizer.variables),
        "best": progress.best,
    }
    return State(epoch=progress.epoch, step=progress.step, notes=notes, arrays=arrays)


def _restore(state: State, vae: VAE, optimizer: Any) -> _Progress:
    _assign(vae.weights, state.arrays["weights"])
    _assign(optimizer.variables, state.arrays["optimizer"])
    return _Progress(
        epoch=state.epoch,
        step=state.step,
        means=_Means(dict(state.notes["sums"]), state.notes["images"]),
        history=list(state.notes["history"]),
        kl_per_dimension=list(state.notes["kl_per_dimension"]),
        best=state.arrays.get("best", []),
    )


def _take_average(vae: VAE, optimizer: Any) -> list[np.ndarray]:
    """Give the model the optimizer's averages of its weights and return what it had."""
    trained = _values(vae.trainable_variables)
    optimizer.finalize_variable_values(vae.trainable_variables)
    return trained


def _values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(variable) for variable in variables]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _check_finite(terms: Mapping[str, float], means: _Means, *, epoch: int, step: int) -> None:
    if all(math.isfinite(value) for value in terms.values()):
        return
    what = "gradient" if math.isfinite(terms["loss"]) else "loss"
    now = ", ".join(f"{term} {value:g}" for term, value in terms.items())
    before = ", ".join(f"{term} {value:g}" for term, value in means.values().items())
    raise UserError(
        f"train: the {what} is not finite at epoch {epoch}, step {step}: {now} (means of the "
        f"epoch before this step: {before or 'none'}); no model was written, the last good state "
        f"is kept; {_TRY}"
    )


def _check_validated(row: Mapping[str, float], *, epoch: int) -> None:
    """Raise UserError if the last step of an epoch has spoiled the weights."""
    spoiled = [term for term, value in row.items() if not math.isfinite(value)]
    if spoiled:
        raise UserError(
            f"train: after epoch {epoch} {', '.join(spoiled)} of validation are not finite; no "
            f"model was written, the last good state is kept; {_TRY}"
        )


def _epoch_line(row: Mapping[str, float], epochs: int, validation_weight: float) -> str:
    training = _in_words(row, "", row["kl_weight"])
    validation = _in_words(row, "val_", validation_weight)
    return f"epoch {row['epoch']:.0f}/{epochs}: loss {training}; validation {validation}"


def _in_words(row: Mapping[str, float], prefix: str, kl_weight: float) -> str:
    """Return the loss and what it is the sum of."""
    loss, reconstruction, kl, weighted = (row[prefix + term] for term in TERMS)
    if not kl:  # the plain autoencoder
        return f"{loss:,.1f}"
    # Where the weight rises within the epoch, or bits are free, it is no product of the means.
    product = math.isclose(weighted, kl_weight * kl, rel_tol=1e-3)
    shown = f"{kl_weight:g} x kl {kl:.1f}" if product else f"kl {kl:.1f}, weighted {weighted:,.1f}"
    return f"{loss:,.1f} = reconstruction {reconstruction:,.1f} + {shown}"
