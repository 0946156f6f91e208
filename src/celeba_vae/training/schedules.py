"""Schedules of the KL weight and the learning rate, early stopping, and the best epoch."""

from typing import Any

import keras

from celeba_vae.params import TrainParams


def kl_weight_at(step: int, params: TrainParams, *, steps_per_epoch: int) -> float:
    """Return the factor on the KL loss at a step.

    constant: kl_weight. linear: grows from 0 to kl_weight over the first `kl_schedule_epochs`
    epochs and stays (Bowman et al. 2016). cyclical: begins again every `kl_schedule_epochs`
    epochs, grows over the first half of them and stays for the second (Fu et al. 2019, with
    R = 0.5). None of them depends on the number of epochs in all, so more of them go on from
    where fewer ended.

    Args:
        step: steps done before this one, from 0.
        params: kl_weight, kl_schedule and kl_schedule_epochs.
        steps_per_epoch: batches in an epoch.
    """
    if params.kl_schedule_epochs is None:
        return params.kl_weight
    length = params.kl_schedule_epochs * steps_per_epoch
    cycle = step if params.kl_schedule == "linear" else 2 * (step % length)
    return params.kl_weight * min(cycle / length, 1.0)


def make_optimizer(params: TrainParams, *, steps_per_epoch: int) -> Any:
    """Return Keras' Adam with the parameters' schedule, clipping and weight average.

    constant: learning_rate throughout. cosine: half a cosine from learning_rate to 0 over all
    epochs (Loshchilov and Hutter 2017). exponential: times learning_rate_decay every epoch, step
    by step.
    """
    schedules = keras.optimizers.schedules
    rate: Any = params.learning_rate
    if params.learning_rate_schedule == "cosine":
        rate = schedules.CosineDecay(rate, params.epochs * steps_per_epoch)
    elif params.learning_rate_schedule == "exponential":
        rate = schedules.ExponentialDecay(rate, steps_per_epoch, params.learning_rate_decay)
    average = {} if params.ema is None else {"use_ema": True, "ema_momentum": params.ema}
    return _adam()(rate, global_clipnorm=params.clip_norm, **average)


def _adam() -> Any:
    """Return Keras' Adam; on TensorFlow the same with fused kernels."""
    if keras.backend.backend() != "tensorflow":
        return keras.optimizers.Adam
    from celeba_vae.training.fused_adam import FusedAdam

    return FusedAdam


def ends_early(val_losses: list[float], patience: int | None) -> bool:
    """Return whether the last `patience` epochs were not better than the best before them.

    As Keras' EarlyStopping decides it, but from the losses alone, so that a resumed fit needs no
    state of a callback.

    Args:
        val_losses: nats per image, one for each epoch done.
        patience: epochs; None for never.
    """
    if patience is None or not val_losses:
        return False
    return len(val_losses) - best_epoch(val_losses) >= patience


def best_epoch(val_losses: list[float]) -> int:
    """Return the epoch, from 1, with the smallest validation loss; the first of equal ones."""
    return min(range(len(val_losses)), key=lambda index: (val_losses[index], index)) + 1


def total_matters(params: TrainParams) -> bool:
    """Return whether the number of epochs in all changes what happens in the first of them."""
    return params.learning_rate_schedule == "cosine"
