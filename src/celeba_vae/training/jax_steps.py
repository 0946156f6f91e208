"""Training steps on JAX: runs of many steps on the device, with the images in its memory.

Where there are several devices, of this process or of all that train together, each computes its
rows of a batch, and XLA adds up what is a mean over the batch: losses, gradients, and the moments
of batch norm. Variables are on each device, with the same values.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from celeba_vae.model.vae import VAE
from celeba_vae.params import TrainParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import Split
from celeba_vae.training.parallel import largest, main_bar
from celeba_vae.training.steps import (
    TERMS,
    Batch,
    Gradient,
    Step,
    Steps,
    Terms,
    batch_losses,
    training_step,
)

# Images of a run of steps on a GPU: a tenth of a second where it is fast, within which nothing
# can stop it, and long enough for the host to prepare the next run meanwhile.
RUN_IMAGES = 16_384
# Share of the device's memory that the training images may take.
_RESIDENT_SHARE = 0.5

# The axis of a batch's rows.
_ROWS = "rows"

_FOUND = (*TERMS, "gradient_norm")


def compile_steps(
    vae: VAE, optimizer: Any, params: TrainParams, images: Split, check_images: Callable[[], None]
) -> Steps:
    """Return the steps that train on `images` and that validate.

    The noise is made on the host, while the device computes, and not on the device: so it is the
    same as on TensorFlow, and a batch's can be cut by rows.

    Args:
        vae: the model, whose weights training changes.
        optimizer: Keras' optimizer, built for the model's trainable variables.
        params: the training parameters.
        images: the training images; they are copied to the device where they fit.
        check_images: called before images are read, and before each run; raises if they are
            not those of before.

    Raises:
        UserError: there are several devices, and they cannot share a batch evenly.
    """
    variables = [*vae.weights, *optimizer.variables]
    mesh = _mesh(params)
    # What a program returns lies on each device, whole.
    outputs = {} if mesh is None else {"out_shardings": NamedSharding(mesh, PartitionSpec())}
    step = training_step(vae, optimizer, params, _gradient_of(vae, mesh), jax.lax.fori_loop)
    resident = _on_all(to_device(images, check_images), mesh) if fit_on_device(images) else None
    # Without the images on the device each step is given its own.
    longest = 1 if resident is None else max(1, RUN_IMAGES // params.batch_size)

    # The number of steps is a value, not a part of the program: a run of any length computes the
    # same bits, so that a training can be stopped, kept and gone on with after any step.
    @partial(jax.jit, donate_argnums=0, **outputs)
    def train_run(
        values: list[jax.Array],
        pixels: jax.Array,
        rows: jax.Array,
        noise: jax.Array,
        kl_weights: jax.Array,
        count: jax.Array,
    ) -> tuple[list[jax.Array], Terms]:
        def one(index: jax.Array, carried: Any) -> Any:
            values, found = carried
            # Rows that lie on several devices cannot be picked, and are the batch's own.
            chosen = pixels if mesh is not None and resident is None else pixels[rows[index]]
            known = zip(variables, values, strict=True)
            with keras.StatelessScope(state_mapping=known) as scope:
                terms = step(chosen, noise[index], kl_weights[index])
            values = [scope.get_current_value(variable) for variable in variables]
            return values, {name: found[name].at[index].set(terms[name]) for name in _FOUND}

        nothing = {name: jnp.zeros(len(rows), jnp.float32) for name in _FOUND}
        done: tuple[list[jax.Array], Terms] = jax.lax.fori_loop(0, count, one, (values, nothing))
        return done

    def prepare(batches: list[Batch]) -> tuple[Any, ...]:
        check_images()
        rows = np.stack([batch.rows for batch in batches])
        pixels = resident
        if pixels is None:
            pixels = _images_of(images, rows.ravel(), mesh)
            rows = np.arange(rows.size).reshape(rows.shape)
        noise = _padded(np.stack([batch.noise for batch in batches]), longest)
        return (
            pixels,
            _sharded(_padded(rows.astype(np.int32), longest), mesh, axis=1),
            _sharded(noise, mesh, axis=1),
            _padded(np.stack([batch.kl_weight for batch in batches]), longest),
            np.int32(len(batches)),
        )

    def train(
        runs: Sequence[range], batch: Callable[[int], Batch]
    ) -> Iterator[list[Mapping[str, float]]]:
        if not runs:
            return
        prepared = prepare([batch(index) for index in runs[0]])
        values = [_on_all(variable.value, mesh) for variable in variables]
        for run, following in zip_longest(runs, runs[1:]):
            values, found = train_run(values, *prepared)
            for variable, value in zip(variables, values, strict=True):
                variable.assign(_here(value, mesh))
            # The device computes meanwhile.
            if following is not None:
                prepared = prepare([batch(index) for index in following])
            columns = jax.device_get(found)
            yield [
                {name: float(columns[name][place]) for name in _FOUND}
                for place, _ in enumerate(run)
            ]

    @partial(jax.jit, **outputs)
    def validate_with(
        values: list[jax.Array], images: jax.Array, noise: jax.Array, kl_weight: jax.Array
    ) -> Terms:
        with keras.StatelessScope(state_mapping=zip(vae.weights, values, strict=True)):
            return batch_losses(vae, params, images, noise, kl_weight, training=False)

    def validate(images: np.ndarray, noise: np.ndarray, kl_weight: np.float32) -> Terms:
        values = [_on_all(weight.value, mesh) for weight in vae.weights]
        batch = _sharded(images, mesh, axis=0), _sharded(noise, mesh, axis=0)
        found: Terms = jax.device_get(validate_with(values, *batch, kl_weight))
        return found

    return Steps(longest=longest, train=train, validate=validate)


def fit_on_device(images: Split) -> bool:
    """Return whether the images may be copied to the device, and to those of all processes.

    Never to a processor, which reads them where they are: in the mapped shards.
    """
    memory = jax.local_devices()[0].memory_stats()
    size = sum(shard.nbytes for shard in images.shards)
    fit = memory is not None and size <= _RESIDENT_SHARE * memory["bytes_limit"]
    return not largest(not fit)


def to_device(images: Split, check_images: Callable[[], None]) -> jax.Array:
    """Copy the images to the device, shard by shard, so that they are there only once.

    Returns:
        uint8 (n, size, size, 3).
    """

    @partial(jax.jit, donate_argnums=0)
    def put(held: jax.Array, shard: jax.Array, start: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(held, shard, (start, 0, 0, 0))

    held = jnp.zeros((len(images), *images.image_shape), jnp.uint8)
    with main_bar(len(images), label="to the device", unit="images") as bar:
        for shard, start in zip(images.shards, images.starts[:-1], strict=True):
            check_images()
            held = put(held, shard, np.int32(start))
            bar.update(len(shard))
    return held


def _mesh(params: TrainParams) -> Mesh | None:
    """Return all devices of all processes; None where there is only one."""
    devices = jax.devices()
    if len(devices) == 1:
        return None
    if params.batch_size // params.accumulate % len(devices):
        parts = f", in {params.accumulate} micro-batches," if params.accumulate > 1 else ""
        raise UserError(
            f"train.batch_size = {params.batch_size}{parts} cannot be shared evenly by "
            f"{len(devices)} devices: give a multiple of {len(devices) * params.accumulate}, or "
            "let fewer devices be seen (CUDA_VISIBLE_DEVICES)"
        )
    return Mesh(np.array(devices), (_ROWS,))


def _by_rows(mesh: Mesh, shape: tuple[int, ...], axis: int) -> NamedSharding:
    """Return how the rows along an axis lie on the devices: cut evenly, or else whole on each."""
    even = shape[axis] % mesh.size == 0
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, _ROWS) if even else PartitionSpec())


def _sharded(array: np.ndarray, mesh: Mesh | None, *, axis: int) -> Any:
    """Return an array that each process has as a whole, with its rows cut over the devices."""
    if mesh is None:
        return array
    sharding = _by_rows(mesh, array.shape, axis)
    return jax.make_array_from_callback(array.shape, sharding, lambda place: array[place])


def _images_of(images: Split, rows: np.ndarray, mesh: Mesh | None) -> Any:
    """Return the images of these rows; a process reads only those of its devices."""
    if mesh is None:
        return images.take(rows)
    shape = (len(rows), *images.image_shape)
    sharding = _by_rows(mesh, shape, 0)
    return jax.make_array_from_callback(shape, sharding, lambda place: images.take(rows[place[0]]))


def _on_all(value: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Return a value, the same in each process, as one that lies on each device, whole."""
    if mesh is None:
        return value
    copies = [jax.device_put(value, device) for device in mesh.local_devices]
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.make_array_from_single_device_arrays(value.shape, everywhere, copies)


def _here(value: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Return what a value that lies whole on each device is on the first one of this process."""
    return value if mesh is None else value.addressable_data(0)


def _gradient_of(vae: VAE, mesh: Mesh | None) -> Gradient:
    def gradient(
        function: Step, batch: tuple[jax.Array, jax.Array, jax.Array], others: list[jax.Array]
    ) -> tuple[Terms, list[jax.Array], list[jax.Array]]:
        trained, untrained = vae.trainable_variables, vae.non_trainable_variables
        if mesh is not None:
            # A micro-batch is cut from the rows of few devices: let all of them compute it.
            images, noise, kl_weight = batch
            images, noise = (
                jax.lax.with_sharding_constraint(part, _by_rows(mesh, part.shape, 0))
                for part in (images, noise)
            )
            batch = (images, noise, kl_weight)

        def loss_of(values: list[jax.Array]) -> tuple[jax.Array, tuple[Terms, list[jax.Array]]]:
            known = zip([*trained, *untrained], [*values, *others], strict=True)
            with keras.StatelessScope(state_mapping=known) as scope:
                terms = function(*batch)
            changed = [scope.get_current_value(variable) for variable in untrained]
            return terms["loss"], (terms, changed)

        values = [variable.value for variable in trained]
        (_, (terms, changed)), gradients = jax.value_and_grad(loss_of, has_aux=True)(values)
        return terms, gradients, changed

    return gradient


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    """Return the array with zeros behind its rows, up to `length` of them."""
    padding = [(0, length - len(array)), *((0, 0) for _ in array.shape[1:])]
    return np.pad(array, padding)
