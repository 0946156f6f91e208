"""The fit: epochs of steps, validation, history, and a grid of faces to watch."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from celeba_vae import feed
from celeba_vae.errors import UserError
from celeba_vae.figures.grids import image_grid, save_png
from celeba_vae.model.losses import losses
from celeba_vae.model.vae import VAE
from celeba_vae.params import TrainParams
from celeba_vae.progress import progress_bar
from celeba_vae.shards.read import Split

TERMS = ("loss", "reconstruction", "kl")
HISTORY_COLUMNS = ("epoch", *TERMS, *(f"val_{term}" for term in TERMS))

WATCH_ROWS, WATCH_COLUMNS = 4, 8

History = list[dict[str, float]]
Step = Callable[[np.ndarray, np.ndarray], dict[str, Any]]


def fit(
    vae: VAE, train: Split, validation: Split, params: TrainParams, *, watch_folder: Path
) -> History:
    """Train `vae` in place.

    Args:
        vae: the model, with fresh weights.
        train: the training images.
        validation: the validation images.
        params: the training parameters.
        watch_folder: where a grid of faces from the same z-points is left after every epoch.

    Returns:
        One row an epoch: HISTORY_COLUMNS, losses in nats per image, means over the images. The
        training losses are those met during the epoch, while the weights still changed.

    Raises:
        UserError: a loss that is not finite; says at which step, and what to try.
    """
    train_step, validation_step = _compile_steps(vae, params)
    z_dim = vae.decoder.input_shape[-1]
    watched = feed.validation_noise((WATCH_ROWS * WATCH_COLUMNS, z_dim), seed=params.seed, index=0)
    batches = feed.batch_count(len(train), params.batch_size)
    history: History = []
    with progress_bar(params.epochs * batches, label="train", unit="steps") as bar:
        for epoch in range(1, params.epochs + 1):
            means = _Means()
            order = feed.epoch_order(len(train), seed=params.seed, epoch=epoch)
            for index in range(batches):
                rows = feed.batch_rows(order, batch_size=params.batch_size, index=index)
                noise = feed.noise((len(rows), z_dim), seed=params.seed, epoch=epoch, index=index)
                terms = _as_floats(train_step(train.take(rows), noise))
                _check_finite(terms, means.values(), epoch=epoch, step=index + 1)
                means.add(terms, len(rows))
                bar.set_postfix(
                    {term: f"{terms[term]:.1f}" for term in TERMS} | {"epoch": epoch},
                    refresh=False,
                )
                bar.update()
            row = {"epoch": float(epoch), **means.values()}
            row |= {
                f"val_{term}": value
                for term, value in _validate(validation_step, validation, params, z_dim).items()
            }
            history.append(row)
            bar.write(_epoch_line(row, params.epochs))
            _save_watched_grid(vae, watched, watch_folder / f"epoch-{epoch:03}.png")
    return history


def _compile_steps(vae: VAE, params: TrainParams) -> tuple[Step, Step]:
    optimizer = keras.optimizers.Adam(params.learning_rate)
    optimizer.build(vae.trainable_variables)

    def batch_losses(images: tf.Tensor, noise: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        return losses(
            vae,
            images,
            noise,
            loss=params.loss,
            sigma=params.sigma,
            kl_weight=params.kl_weight,
            free_bits=params.free_bits,
            training=training,
        )

    # One graph for whole and short batches.
    signature = [
        tf.TensorSpec((None, *vae.encoder.input_shape[1:]), tf.uint8),
        tf.TensorSpec((None, *vae.decoder.input_shape[1:]), tf.float32),
    ]

    @tf.function(input_signature=signature)
    def train_step(images: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = batch_losses(images, noise, training=True)
        gradients = tape.gradient(terms["loss"], vae.trainable_variables)
        optimizer.apply(gradients)
        return terms

    @tf.function(input_signature=signature)
    def validation_step(images: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        return batch_losses(images, noise, training=False)

    return train_step, validation_step


class _Means:
    """Means of the loss terms over images, in double precision."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(TERMS, 0.0)
        self._images = 0

    def add(self, terms: dict[str, float], images: int) -> None:
        for term in TERMS:
            self._sums[term] += images * terms[term]
        self._images += images

    def values(self) -> dict[str, float]:
        return {term: total / max(self._images, 1) for term, total in self._sums.items()}


def _as_floats(terms: dict[str, Any]) -> dict[str, float]:
    return {term: float(terms[term]) for term in TERMS}


def _check_finite(
    terms: dict[str, float], before: dict[str, float], *, epoch: int, step: int
) -> None:
    if all(math.isfinite(value) for value in terms.values()):
        return
    now = ", ".join(f"{term} {value:g}" for term, value in terms.items())
    mean = ", ".join(f"{term} {value:g}" for term, value in before.items())
    raise UserError(
        f"train: the loss is not finite at epoch {epoch}, step {step}: {now} (means of the epoch "
        f"before this step: {mean}); no model was written; try a smaller train.learning_rate"
    )


def _validate(
    validation_step: Step, validation: Split, params: TrainParams, z_dim: int
) -> dict[str, float]:
    means = _Means()
    order = np.arange(len(validation))
    for index in range(feed.batch_count(len(validation), params.batch_size)):
        rows = feed.batch_rows(order, batch_size=params.batch_size, index=index)
        noise = feed.validation_noise((len(rows), z_dim), seed=params.seed, index=index)
        means.add(_as_floats(validation_step(validation.take(rows), noise)), len(rows))
    return means.values()


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    def part(prefix: str) -> str:
        return ", ".join(f"{term} {row[prefix + term]:.1f}" for term in TERMS)

    return f"epoch {row['epoch']:.0f}/{epochs}: {part('')}; validation {part('val_')} nats/image"


def _save_watched_grid(vae: VAE, watched: np.ndarray, path: Path) -> None:
    logits = vae.decoder(watched, training=False)
    pixels = keras.ops.convert_to_numpy(keras.ops.sigmoid(logits))
    faces = np.rint(255.0 * pixels).astype(np.uint8)
    save_png(path, image_grid(faces, rows=WATCH_ROWS, columns=WATCH_COLUMNS))
