"""One step of training or validation as Keras ops, the same on every backend.

`tensorflow_steps` and `jax_steps`, the drivers, hold what each backend does in its own way: how a
gradient is taken, how steps are compiled, and how images reach them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from celeba_vae.model.losses import vae_losses
from celeba_vae.model.vae import VAE
from celeba_vae.params import TrainParams
from celeba_vae.runtime.arrays import Tensor

TERMS = ("loss", "reconstruction", "kl", "kl_weighted")

Terms = dict[str, Tensor]
# images uint8 (n, size, size, 3), noise float32 (n, z_dim), KL weight -> tensors by name.
Step = Callable[[Tensor, Tensor, Tensor], Terms]

# A function of a batch that gives TERMS, the batch, and the values of the variables that are not
# trained -> TERMS, the gradient of the loss for each trained variable, the new values.
Gradient = Callable[
    [Step, tuple[Tensor, Tensor, Tensor], list[Tensor]], tuple[Terms, list[Tensor], list[Tensor]]
]
# First and last + 1 index, body(index, sums) -> sums, first sums -> last sums. One round must end
# before the next begins, or two of them would be in memory at the same time.
Loop = Callable[[int, int, Callable[[Tensor, Any], Any], Any], Any]


class Batch(NamedTuple):
    """What a step is given.

    Attributes:
        rows: the rows of its images in the split, (n,).
        noise: float32 (n, z_dim), from N(0, I).
        kl_weight: the factor on the KL loss.
    """

    rows: np.ndarray
    noise: np.ndarray
    kl_weight: np.float32


class Steps(NamedTuple):
    """The compiled steps of a fit.

    Attributes:
        longest: how many steps a run may have. Between two runs the variables of model and
            optimizer have the values after the first of them; within a run they are not known.
        train: runs, each the indices of its steps, and the batch of an index -> for each run a
            list with TERMS and "gradient_norm", the length of the gradient over all weights before
            clipping, for each of its steps, in nats per image. The batches of a run must be of
            one size. It changes the variables of model and optimizer.
        validate: returns TERMS and, but for the plain autoencoder, "kl_per_dimension" (z_dim,) in
            nats, a mean over the images.
    """

    longest: int
    train: Callable[[Sequence[range], Callable[[int], Batch]], Iterator[list[Mapping[str, float]]]]
    validate: Step


def training_step(
    vae: VAE, optimizer: Any, params: TrainParams, gradient: Gradient, loop: Loop
) -> Step:
    """Return the function that trains on a batch, for a driver to compile.

    Args:
        vae: the model; the function changes its weights.
        optimizer: Keras' optimizer, built for the model's trainable variables.
        params: loss, sigma, free_bits, batch_size and accumulate.
        gradient: the backend's gradient.
        loop: the backend's loop; used where params.accumulate is above 1, and then the number of
            images of a batch must be known when the function is compiled.

    Returns:
        A function that returns TERMS and "gradient_norm".
    """

    def terms_of(images: Tensor, noise: Tensor, kl_weight: Tensor) -> Terms:
        found = batch_losses(vae, params, images, noise, kl_weight, training=True)
        return {term: found[term] for term in TERMS}

    def accumulated(
        images: Tensor, noise: Tensor, kl_weight: Tensor, others: list[Tensor]
    ) -> tuple[Terms, list[Tensor], list[Tensor]]:
        total = images.shape[0]
        size = params.batch_size // params.accumulate

        def add(sums: Any, start: Tensor, count: int) -> Any:
            terms, gradients, others = sums
            part = (_rows(images, start, count), _rows(noise, start, count), kl_weight)
            found, steepest, others = gradient(terms_of, part, others)
            share = count / total
            terms = {term: terms[term] + share * found[term] for term in TERMS}
            gradients = [
                so_far + share * more for so_far, more in zip(gradients, steepest, strict=True)
            ]
            return terms, gradients, others

        sums = (
            {term: ops.zeros((), "float32") for term in TERMS},
            [ops.zeros_like(variable.value) for variable in vae.trainable_variables],
            others,
        )
        whole, rest = divmod(total, size)
        sums = loop(0, whole, lambda index, sums: add(sums, index * size, size), sums)
        terms, gradients, others = add(sums, whole * size, rest) if rest else sums
        return terms, gradients, others

    def step(images: Tensor, noise: Tensor, kl_weight: Tensor) -> Terms:
        untrained = vae.non_trainable_variables
        others = [variable.value for variable in untrained]
        if params.accumulate == 1:
            terms, gradients, others = gradient(terms_of, (images, noise, kl_weight), others)
        else:
            terms, gradients, others = accumulated(images, noise, kl_weight, others)
        for variable, value in zip(untrained, others, strict=True):
            variable.assign(value)
        optimizer.apply(gradients)
        squares = ops.stack([ops.sum(ops.square(one)) for one in gradients])
        return {**terms, "gradient_norm": ops.sqrt(ops.sum(squares))}

    return step


def batch_losses(
    vae: VAE,
    params: TrainParams,
    images: Tensor,
    noise: Tensor,
    kl_weight: Tensor,
    *,
    training: bool,
) -> Terms:
    """Return `vae_losses` of a batch with the parameters' loss, sigma and free_bits."""
    return vae_losses(
        vae,
        images,
        noise,
        loss=params.loss,
        sigma=params.sigma,
        kl_weight=kl_weight,
        free_bits=params.free_bits,
        training=training,
    )


def _rows(array: Tensor, start: Tensor, count: int) -> Tensor:
    """Return `count` rows from `start` on, which may be known only when the step runs."""
    rest = array.shape[1:]
    return ops.slice(array, (start, *(0 for _ in rest)), (count, *rest))
