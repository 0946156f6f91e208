"""One step of training or validation as a compiled TensorFlow function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from celeba_vae.model.losses import losses
from celeba_vae.model.vae import VAE
from celeba_vae.params import TrainParams

TERMS = ("loss", "reconstruction", "kl", "kl_weighted")

# images uint8 (n, size, size, 3), noise float32 (n, z_dim), KL weight -> tensors by name.
Step = Callable[[np.ndarray, np.ndarray, np.float32], dict[str, Any]]


def compile_steps(vae: VAE, optimizer: Any, params: TrainParams) -> tuple[Step, Step]:
    """Return the functions that train on a batch and that validate one.

    Args:
        vae: the model; the first function changes its weights.
        optimizer: Keras' optimizer, built for the model's trainable variables.
        params: loss, sigma and free_bits.

    Returns:
        train_step: returns TERMS, each a scalar in nats per image, and "gradient_norm", the
            length of the gradient over all weights before clipping.
        validation_step: returns TERMS, "kl_per_dimension" (z_dim,) in nats, a mean over the
            images, and "mu" (n, z_dim).
    """

    def batch_losses(
        images: tf.Tensor, noise: tf.Tensor, kl_weight: tf.Tensor, training: bool
    ) -> dict[str, tf.Tensor]:
        return losses(
            vae,
            images,
            noise,
            loss=params.loss,
            sigma=params.sigma,
            kl_weight=kl_weight,
            free_bits=params.free_bits,
            training=training,
        )

    # One graph for whole and short batches, and for any KL weight.
    signature = [
        tf.TensorSpec((None, *vae.encoder.input_shape[1:]), tf.uint8),
        tf.TensorSpec((None, *vae.decoder.input_shape[1:]), tf.float32),
        tf.TensorSpec((), tf.float32),
    ]

    @tf.function(input_signature=signature)
    def train_step(
        images: tf.Tensor, noise: tf.Tensor, kl_weight: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = batch_losses(images, noise, kl_weight, training=True)
        gradients = tape.gradient(terms["loss"], vae.trainable_variables)
        optimizer.apply(gradients)
        return {
            **{term: terms[term] for term in TERMS},
            "gradient_norm": tf.linalg.global_norm(gradients),
        }

    @tf.function(input_signature=signature)
    def validation_step(
        images: tf.Tensor, noise: tf.Tensor, kl_weight: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return batch_losses(images, noise, kl_weight, training=False)

    return train_step, validation_step
