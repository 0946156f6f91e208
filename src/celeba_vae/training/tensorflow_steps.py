"""Training steps on TensorFlow: one call of a compiled graph for each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from celeba_vae.model.vae import VAE
from celeba_vae.params import TrainParams
from celeba_vae.shards.read import Split
from celeba_vae.training.steps import (
    Batch,
    Gradient,
    Step,
    Steps,
    Terms,
    batch_losses,
    training_step,
)


def compile_steps(
    vae: VAE, optimizer: Any, params: TrainParams, images: Split, check_images: Callable[[], None]
) -> Steps:
    """Return the steps that train on `images` and that validate.

    Args:
        vae: the model, whose weights training changes.
        optimizer: Keras' optimizer, built for the model's trainable variables.
        params: the training parameters.
        images: the training images.
        check_images: called before images are read; raises if they are not those of before.
    """
    # One graph for whole and short batches, and for any KL weight. The loop over micro-batches
    # must know their number: with it there is a graph for each size of a batch.
    signature = [
        tf.TensorSpec((None, *vae.encoder.input_shape[1:]), tf.uint8),
        tf.TensorSpec((None, *vae.decoder.input_shape[1:]), tf.float32),
        tf.TensorSpec((), tf.float32),
    ]
    train_step = tf.function(
        training_step(vae, optimizer, params, _gradient_of(vae), _loop),
        input_signature=signature if params.accumulate == 1 else None,
    )

    @tf.function(input_signature=signature)
    def validate(images: tf.Tensor, noise: tf.Tensor, kl_weight: tf.Tensor) -> Terms:
        return batch_losses(vae, params, images, noise, kl_weight, training=False)

    def train_on(batch: Batch) -> dict[str, float]:
        check_images()
        found = train_step(images.take(batch.rows), batch.noise, batch.kl_weight)
        return {name: float(value) for name, value in found.items()}

    def train(
        runs: Sequence[range], batch: Callable[[int], Batch]
    ) -> Iterator[list[Mapping[str, float]]]:
        for run in runs:
            yield [train_on(batch(index)) for index in run]

    return Steps(longest=1, train=train, validate=validate)


def _gradient_of(vae: VAE) -> Gradient:
    def gradient(
        function: Step, batch: tuple[tf.Tensor, tf.Tensor, tf.Tensor], others: list[tf.Tensor]
    ) -> tuple[Terms, list[tf.Tensor], list[tf.Tensor]]:
        untrained = vae.non_trainable_variables
        known = list(zip(untrained, others, strict=True))
        with tf.GradientTape() as tape, keras.StatelessScope(state_mapping=known) as scope:
            terms = function(*batch)
        changed = [scope.get_current_value(variable) for variable in untrained]
        return terms, tape.gradient(terms["loss"], vae.trainable_variables), changed

    return gradient


def _loop(first: int, last: int, body: Callable[[tf.Tensor, Any], Any], sums: Any) -> Any:
    _, sums = tf.while_loop(
        lambda index, sums: index < last,
        lambda index, sums: (index + 1, body(index, sums)),
        (tf.constant(first), sums),
        parallel_iterations=1,
    )
    return sums
