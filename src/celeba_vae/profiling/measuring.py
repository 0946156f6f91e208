"""Time and peak memory of training steps, measured in a process of their own.

A process of its own, because memory that one configuration has freed would hide what the next one
needs. As a program it runs the steps that its argument describes.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from tempfile import TemporaryFile
from typing import Any

from celeba_vae.model.sizes import check_memory
from celeba_vae.params import ModelParams, Params, TrainParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.processes import die_with_parent, resident_bytes
from celeba_vae.runtime.switches import Instructions

# The first step compiles; the second still allocates.
_WARM_UP = 2
_SAMPLED_EVERY = 0.005


@dataclass(frozen=True)
class Measured:
    """What steps of training took.

    Attributes:
        counted: what `counting.Counted` holds, by name.
        seconds: of each step after the first two.
        before: bytes of anonymous memory before the first step: Python, TensorFlow, the weights.
        peak: the most of it at any time.
        file_backed: the most bytes of pages of files, such as libraries, which the system can
            drop when memory is short.
        device_peak: the allocator's peak on a GPU in bytes; None on a CPU.
    """

    counted: dict[str, int]
    seconds: tuple[float, ...]
    before: int
    peak: int
    file_backed: int
    device_peak: int | None

    @property
    def step_seconds(self) -> float:
        """The median step."""
        return statistics.median(self.seconds)

    @property
    def memory(self) -> int:
        """Bytes that training takes where memory is short: on the GPU, or here."""
        return self.peak if self.device_peak is None else self.device_peak


def measure(params: Params, *, steps: int, optimizer: str, recompute: bool) -> Measured:
    """Run `_WARM_UP` and then `steps` steps of training on random images, in another process.

    Args:
        params: model, train, prepare.size, threads and instructions.
        steps: how many are timed.
        optimizer: "adam", as in training, or another of Keras' optimizers.
        recompute: whether activations are computed anew for the gradients instead of kept.

    Raises:
        UserError: this machine lacks the memory, or the process ended without a result.
    """
    check_memory(params.model, size=params.prepare.size, train=params.train)
    task = {
        # Not all of them: a batch may be larger than the images that there are.
        "model": params.model.model_dump(),
        "train": params.train.model_dump(),
        "size": params.prepare.size,
        "threads": params.threads,
        "instructions": params.instructions,
        "steps": steps,
        "optimizer": optimizer,
        "recompute": recompute,
        "parent": os.getpid(),
    }
    command = [sys.executable, "-m", "celeba_vae.profiling.measuring", json.dumps(task)]
    with (
        # A pipe that nobody reads while the process runs could fill up.
        TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(  # noqa: S603  (this very module)
            command, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        peak = file_backed = 0
        while process.poll() is None:
            anonymous, files = resident_bytes(process.pid)
            peak, file_backed = max(peak, anonymous), max(file_backed, files)
            time.sleep(_SAMPLED_EVERY)
        output, _ = process.communicate()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if process.returncode:
        reason = lines[-1] if lines else f"it was ended by signal {-process.returncode}"
        raise UserError(
            f"no step of training with batch size {params.train.batch_size} could be measured: "
            f"{reason}"
        )
    result = json.loads(output.splitlines()[-1])
    return Measured(
        counted=result["counted"],
        seconds=tuple(result["seconds"]),
        before=result["before"],
        peak=peak,
        file_backed=file_backed,
        device_peak=result["device_peak"],
    )


def _run(
    model: ModelParams,
    train: TrainParams,
    *,
    size: int,
    threads: int,
    instructions: Instructions,
    steps: int,
    optimizer: str,
    recompute: bool,
) -> dict[str, Any]:
    from celeba_vae.backend import configure_backend

    configure_backend(train.backend, threads, instructions)
    import keras
    import numpy as np

    from celeba_vae.model.counting import count_bytes
    from celeba_vae.model.vae import VAE
    from celeba_vae.shards.read import Split
    from celeba_vae.training.schedules import make_optimizer
    from celeba_vae.training.steps import Batch

    if train.backend == "jax":
        from celeba_vae.training.jax_steps import compile_steps
    else:
        from celeba_vae.training.tensorflow_steps import compile_steps

    vae = VAE(model, size=size, seed=train.seed, precision=train.precision)
    if recompute:
        # Keras' own RematScope fails in a compiled TensorFlow function (Keras 3.15).
        for part in (vae.encoder, vae.decoder):
            part.call = _recomputed(part.call)
    chosen = (
        make_optimizer(train, steps_per_epoch=1)
        if optimizer == "adam"
        else keras.optimizers.get({"class_name": optimizer, "config": {}})
    )
    chosen.build(vae.trainable_variables)
    random = np.random.default_rng(train.seed)
    count = train.batch_size
    images = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    noise = random.standard_normal((count, model.z_dim), dtype=np.float32)
    batch = Batch(np.arange(count), noise, np.float32(train.kl_weight))
    split = Split((images,), np.array([0, count]))
    compiled = compile_steps(vae, chosen, train, split, lambda: None)
    before, _ = resident_bytes(os.getpid())
    seconds = []
    for index in range(_WARM_UP + steps):
        start = time.perf_counter()
        list(compiled.train([range(index, index + 1)], lambda _: batch))
        seconds.append(time.perf_counter() - start)
    return {
        "counted": asdict(count_bytes(vae, chosen)),
        "seconds": seconds[_WARM_UP:],
        "before": before,
        "device_peak": _device_peak(train.backend),
    }


def _device_peak(backend: str) -> int | None:
    """Return the most bytes of a GPU's memory that were in use; None on a CPU."""
    if backend == "jax":
        import jax

        memory = jax.devices()[0].memory_stats()
        return None if memory is None else int(memory["peak_bytes_in_use"])
    import tensorflow as tf

    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def _recomputed(call: Any) -> Any:
    import tensorflow as tf

    def recomputed(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return tf.recompute_grad(lambda x: call(x, training=training, mask=mask))(inputs)

    return recomputed


def main() -> None:
    """Run what the argument describes, as JSON, and print the result as JSON."""
    task = json.loads(sys.argv[1])
    die_with_parent(task.pop("parent"))
    model = ModelParams.model_validate(task.pop("model"))
    train = TrainParams.model_validate(task.pop("train"))
    print(json.dumps(_run(model, train, **task)))


if __name__ == "__main__":
    main()
