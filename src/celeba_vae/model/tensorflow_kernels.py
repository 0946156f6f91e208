"""TensorFlow kernels without a Keras equivalent: fused batch normalisation."""

import tensorflow as tf

from celeba_vae.runtime.arrays import Tensor


def normalized(
    inputs: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
) -> Tensor:
    """Normalise inputs, float32 (n, height, width, channels), by a given mean and variance.

    The other arguments are those of `batch_normalized`; mean and variance are (channels,).
    """
    return tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.convert_to_tensor(gamma),
        offset=tf.convert_to_tensor(beta),
        mean=tf.convert_to_tensor(mean),
        variance=tf.convert_to_tensor(variance),
        epsilon=epsilon,
        is_training=False,
    )[0]


def batch_normalized(
    inputs: Tensor, gamma: Tensor, beta: Tensor, *, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise a batch by its own mean and variance.

    In one kernel, and its gradient in one, where Keras has a dozen that each read all values.

    Args:
        inputs: float32 (n, height, width, channels).
        gamma: factor on the normalised values, (channels,).
        beta: what is then added, (channels,).
        epsilon: is added to the variance.

    Returns:
        The normalised inputs, and for each channel mean and variance over the batch; the variance
        is the mean of squares, as in Keras.
    """
    nothing = tf.zeros((0,), tf.float32)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.convert_to_tensor(gamma),
        offset=tf.convert_to_tensor(beta),
        mean=nothing,
        variance=nothing,
        epsilon=epsilon,
        is_training=True,
    )
    # The kernel gives the estimate for moving averages, with n - 1 for n.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    return outputs, mean, variance * (count - 1.0) / count
