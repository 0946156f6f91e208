"""How fast a step of training is on a processor, beside others on the same batches.

    python -m tests.benchmarks.step
    python -m tests.benchmarks.step --batch 32 -S model.z_dim=512

By turns, each in a process of its own, and both with batch normalisation and without it:

ours     the step as `train` runs it: reads its images from the shards, draws its noise, reports its
         losses; one operation at a time, deterministic.
PyTorch  the same network with channels_last, and its fused Adam; images in memory.
Keras    the same network with `fit` and tf.data as keras.io's VAE is written: neither
         deterministic nor reporting a gradient's length.
product  a product of two matrices of 2048 rows and columns: what the processor can do.

First all get the same weights, images and noise, and their losses and numbers of parameters are
compared. PyTorch is not among the locked requirements, for its default wheel brings gigabytes of
CUDA; where it is not installed its row is left out.
"""

import argparse
import importlib.util
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from celeba_vae.params import Params, load_params
from tests.benchmarks.turns import Contender, median_of, ratio, serve, take_turns
from tests.support import ROOT

OURS, PYTORCH, KERAS, PRODUCT = "ours", "PyTorch", "Keras", "product"
IMAGES = 4096
# Images on which the losses are compared, and how far they may be apart.
COMPARED, TOLERANCE = 64, 1e-4
SIDE = 2048


def params_of(arguments: argparse.Namespace) -> Params:
    """Return the project's parameters with the changes of the command."""
    changes = [f"train.batch_size={arguments.batch}", *arguments.set]
    return load_params(ROOT / "params.yaml", changes)


def random_images(count: int, size: int) -> np.ndarray:
    """Return random pixels, uint8 (n, size, size, 3)."""
    shape = (count, size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def step_flops(vae: Any) -> float:
    """Return the floating-point operations of a step for one image.

    Two for each multiplication of a product or convolution, three times: forwards, for the weights'
    gradient and for the input's, which the first convolution does not need.
    """
    import keras

    total = 0.0
    for part in (vae.encoder, vae.decoder):
        for layer in part.layers:
            if isinstance(layer, keras.layers.Dense):
                macs = math.prod(layer.kernel.shape)
            elif isinstance(layer, keras.layers.Conv2DTranspose):
                macs = math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:3])
            elif isinstance(layer, keras.layers.Conv2D):
                macs = math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
            else:
                continue
            first = layer.input is vae.encoder.inputs[0]
            total += 2 * macs * (2 if first else 3)
    return total


class Ours:
    """Our training on TensorFlow."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        from celeba_vae.backend import configure_tensorflow

        params = params_of(arguments)
        configure_tensorflow(params.threads, params.instructions)
        from celeba_vae.model.vae import VAE
        from celeba_vae.shards.read import Split
        from celeba_vae.training.fit import batches_of_epoch
        from celeba_vae.training.schedules import make_optimizer
        from celeba_vae.training.tensorflow_steps import compile_steps

        size = params.prepare.size
        vae = VAE(params.model, size=size, seed=1)
        write_expected(vae, params, folder)
        images = Split((random_images(IMAGES, size),), np.array([0, IMAGES]))
        optimizer = make_optimizer(params.train, steps_per_epoch=IMAGES // params.train.batch_size)
        optimizer.build(vae.trainable_variables)
        self.steps = compile_steps(vae, optimizer, params.train, images, lambda: None)
        self.batch_of = batches_of_epoch
        self.params, self.z_dim, self.count = params.train, params.model.z_dim, arguments.steps
        self.ready = {
            "parameters": sum(int(np.prod(one.shape)) for one in vae.trainable_weights),
            "notes": "as committed",
            "flops": step_flops(vae),
        }

    def round(self, number: int) -> dict[str, Any]:
        """Run the steps."""
        batch = self.batch_of(IMAGES, self.params, z_dim=self.z_dim, epoch=number)
        runs = [range(index, index + 1) for index in range(self.count)]
        begin = time.perf_counter()
        losses = [step["loss"] for run in self.steps.train(runs, batch) for step in run]
        return {"seconds": time.perf_counter() - begin, "loss": losses[-1]}


def write_expected(vae: Any, params: Params, folder: Path) -> None:
    """Write our weights, and a batch with its loss, for others to compare themselves with."""
    from celeba_vae.training.steps import batch_losses

    images = random_images(COMPARED, params.prepare.size)
    noise = np.random.default_rng(1).standard_normal((COMPARED, params.model.z_dim), np.float32)
    weights: dict[str, Any] = {
        f"{part.name}/{'/'.join(weight.path.split('/')[-2:])}": np.asarray(weight.numpy())
        for part in (vae.encoder, vae.decoder)
        for weight in part.weights
    }
    found = batch_losses(
        vae, params.train, images, noise, np.float32(params.train.kl_weight), training=False
    )
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "batch.npz", images=images, noise=noise, loss=float(found["loss"]))


def check_loss(name: str, loss: float, folder: Path) -> None:
    """Compare the loss at equal weights with ours, and say it."""
    expected = float(np.load(folder / "batch.npz")["loss"])
    apart = abs(loss / expected - 1)
    print(
        f"loss at equal weights: ours {expected:.3f}, {name} {loss:.3f} nats/image, "
        f"{apart:.1e} apart",
        file=sys.stderr,
    )
    assert apart <= TOLERANCE, f"{name}: the networks are not the same"


class PyTorch:
    """The same network in PyTorch."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        import torch

        from tests.benchmarks.torch_vae import TorchVAE, load_weights, loss_of

        self.torch, self.loss_of = torch, loss_of
        params = params_of(arguments)
        torch.set_num_threads(params.threads)
        self.kl_weight, self.batch_size = params.train.kl_weight, params.train.batch_size
        self.count = arguments.steps
        self.vae = TorchVAE(params.model, size=params.prepare.size)
        self.vae = self.vae.to(memory_format=torch.channels_last)
        load_weights(self.vae, dict(np.load(folder / "weights.npz")))
        batch = np.load(folder / "batch.npz")
        # This network is the mirror image, see torch_vae.
        images = torch.from_numpy(batch["images"][:, ::-1, ::-1].copy())
        self.vae.eval()
        with torch.no_grad():
            loss = loss_of(self.vae, images, torch.from_numpy(batch["noise"]), self.kl_weight)
        check_loss(PYTORCH, float(loss), folder)
        self.vae.train()
        self.images = torch.from_numpy(random_images(IMAGES, params.prepare.size))
        self.optimizer = torch.optim.Adam(
            self.vae.parameters(), lr=params.train.learning_rate, eps=1e-7, fused=True
        )
        self.ready = {
            "parameters": sum(parameter.numel() for parameter in self.vae.parameters()),
            "notes": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads",
        }

    def round(self, number: int) -> dict[str, Any]:
        """Run the steps."""
        torch = self.torch
        order = torch.randperm(len(self.images))
        begin = time.perf_counter()
        for index in range(self.count):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            noise = torch.randn((len(rows), self.vae.z_dim))
            loss = self.loss_of(self.vae, self.images[rows], noise, self.kl_weight)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            found = float(loss.detach())
        return {"seconds": time.perf_counter() - begin, "loss": found}


class KerasFit:
    """The same network with Keras' `fit` and tf.data."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import keras
        import tensorflow as tf

        params = params_of(arguments)
        size, self.batch_size = params.prepare.size, params.train.batch_size
        self.count = arguments.steps
        encoder, decoder = keras_network(params.model, size)
        self.vae = keras_vae(encoder, decoder, params.train.kl_weight)
        weights = np.load(folder / "weights.npz")
        for part in (encoder, decoder):
            for weight in part.weights:
                weight.assign(weights[f"{part.name}/{'/'.join(weight.path.split('/')[-2:])}"])
        batch = np.load(folder / "batch.npz")
        pixels = batch["images"].astype(np.float32) / 255
        loss, _, _ = self.vae.losses_of(pixels, batch["noise"], training=False)
        check_loss(KERAS, float(loss), folder)
        self.vae.compile(optimizer=keras.optimizers.Adam(params.train.learning_rate))
        images = random_images(IMAGES, size)
        self.data = (
            tf.data.Dataset.from_tensor_slices(images)
            .shuffle(IMAGES)
            .map(lambda image: tf.cast(image, tf.float32) / 255.0)
            .batch(self.batch_size)
            .prefetch(tf.data.AUTOTUNE)
            .repeat()
        )
        self.vae.fit(self.data, epochs=1, steps_per_epoch=1, verbose=0)
        self.ready = {
            "parameters": sum(int(np.prod(one.shape)) for one in self.vae.trainable_weights),
            "notes": f"Keras {keras.__version__}",
        }

    def round(self, number: int) -> dict[str, Any]:
        """Run the steps; the first begins when the data are shuffled."""
        import keras

        class Clock(keras.callbacks.Callback):
            begin = end = 0.0

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                if batch == 0:
                    self.begin = time.perf_counter()
                self.end = time.perf_counter()

        clock = Clock()
        done = self.vae.fit(
            self.data, epochs=1, steps_per_epoch=self.count + 1, verbose=0, callbacks=[clock]
        )
        return {"seconds": clock.end - clock.begin, "loss": done.history["loss"][-1]}


def keras_network(params: Any, size: int) -> tuple[Any, Any]:
    """Return Encoder and Decoder of Keras' layers, named as ours."""
    import keras
    from keras import layers

    def level(x: Any, conv: Any, number: int) -> Any:
        x = conv(x)
        if params.batch_norm:
            momentum = params.batch_norm_momentum
            x = layers.BatchNormalization(momentum=momentum, name=f"norm_{number}")(x)
        return layers.LeakyReLU(negative_slope=0.3)(x)

    images = x = keras.Input((size, size, 3))
    shape = {"kernel_size": 3, "strides": 2, "padding": "same"}
    for number, filters in enumerate(params.filters, start=1):
        x = level(x, layers.Conv2D(filters, **shape, name=f"conv_{number}"), number)
    inner = x.shape[1:]
    x = layers.Flatten()(x)
    heads = [layers.Dense(params.z_dim, name=name)(x) for name in ("mu", "log_var")]
    encoder = keras.Model(images, heads, name="encoder")
    z = keras.Input((params.z_dim,))
    x = layers.Dense(math.prod(inner), name="dense")(z)
    x = layers.Reshape(inner)(x)
    outwards = [*params.filters[:-1]][::-1]
    for number, filters in enumerate(outwards, start=1):
        x = level(x, layers.Conv2DTranspose(filters, **shape, name=f"conv_{number}"), number)
    x = layers.Conv2DTranspose(3, **shape, name=f"conv_{len(params.filters)}")(x)
    return encoder, keras.Model(z, x, name="decoder")


def keras_vae(encoder: Any, decoder: Any, kl_weight: float) -> Any:
    """Return a VAE as in keras.io/examples/generative/vae, with the same loss as ours."""
    import keras
    import tensorflow as tf
    from keras import ops

    class KerasVAE(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder
            self.seed_generator = keras.random.SeedGenerator(1)
            self.trackers = [
                keras.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")
            ]

        @property
        def metrics(self) -> Any:
            return self.trackers

        def losses_of(self, data: Any, noise: Any, training: bool) -> Any:
            mu, log_var = self.encoder(data, training=training)
            z = mu + ops.exp(0.5 * log_var) * noise
            logits = self.decoder(z, training=training)
            # Of logits, as keras.io's loss of the sigmoid is another one near 0 and 1.
            by_value = keras.losses.binary_crossentropy(data, logits, from_logits=True)
            reconstruction = 3 * ops.mean(ops.sum(by_value, axis=(1, 2)))
            kl = -0.5 * (1 + log_var - ops.square(mu) - ops.exp(log_var))
            kl = ops.mean(ops.sum(kl, axis=1))
            return reconstruction + kl_weight * kl, reconstruction, kl

        def train_step(self, data: Any) -> Any:
            with tf.GradientTape() as tape:
                noise = keras.random.normal(
                    (ops.shape(data)[0], decoder.input_shape[-1]), seed=self.seed_generator
                )
                found = self.losses_of(data, noise, training=True)
            gradients = tape.gradient(found[0], self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            for tracker, value in zip(self.trackers, found, strict=True):
                tracker.update_state(value)
            return {tracker.name: tracker.result() for tracker in self.trackers}

    return KerasVAE()


class Product:
    """A product of two large matrices."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        from celeba_vae.backend import configure_tensorflow

        params = params_of(arguments)
        self.tf = configure_tensorflow(params.threads, params.instructions)
        self.matrix = self.tf.random.stateless_normal((SIDE, SIDE), (1, 1))
        self.multiply = self.tf.function(self.tf.linalg.matmul)
        self.ready = {"notes": f"{SIDE} x {SIDE}"}

    def round(self, number: int) -> dict[str, Any]:
        """Multiply 20 times."""
        begin = time.perf_counter()
        for _ in range(20):
            found = self.multiply(self.matrix, self.matrix)
        float(found[0, 0])
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "flops": 20 * 2 * SIDE**3 / seconds}


CONTENDERS = {OURS: Ours, PYTORCH: PyTorch, KERAS: KerasFit, PRODUCT: Product}


def measure(arguments: argparse.Namespace, changes: list[str]) -> None:
    """Let the contenders take turns, and print their figures."""
    names = list(CONTENDERS)
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: its row is left out")
        names.remove(PYTORCH)
    with tempfile.TemporaryDirectory() as folder:
        commands = {}
        for name in names:
            command = ["-m", "tests.benchmarks.step", "--worker", name, "--folder", folder]
            command += ["--batch", str(arguments.batch), "--steps", str(arguments.steps)]
            for change in [*changes, *arguments.set]:
                command += ["-S", change]
            commands[name] = command
        ready, found = take_turns(commands, arguments.rounds)
    counts = {one["parameters"] for one in ready.values() if "parameters" in one}
    assert len(counts) == 1, ready
    flops = ready[OURS]["flops"]
    peak = median_of(found[PRODUCT], "flops")
    print(
        f"\n{' '.join(changes) or 'the defaults'}: {counts.pop():,} trained parameters, batch "
        f"{arguments.batch}, {flops / 1e9:.3f} GFLOP an image; the product: {peak / 1e9:.0f} "
        f"GFLOP/s, which is {peak / flops:.0f} images/s"
    )
    images = arguments.batch * arguments.steps
    for name in names:
        if name == PRODUCT:
            continue
        rates = [images / one["seconds"] for one in found[name]]
        rate = images / median_of(found[name])
        print(
            f"{name:<8}{rate:6.0f} images/s ({min(rates):.0f} to {max(rates):.0f}), ours is "
            f"{ratio(found[name], found[OURS]):.2f} times as fast, {rate * flops / peak:.0%} of "
            f"the product; {ready[name]['notes']}",
            flush=True,
        )


def main() -> None:
    """Measure with batch normalisation and without it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128, help="images a step (128)")
    parser.add_argument("--steps", type=int, default=6, help="steps of a round (6)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each (7)")
    parser.add_argument(
        "-S", "--set", action="append", default=[], help="a parameter, as group.key=value"
    )
    parser.add_argument("--worker", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        make: Any = CONTENDERS[arguments.worker]

        def contender() -> Contender:
            made: Contender = make(arguments, Path(arguments.folder))
            return made

        serve(contender)
        return
    for batch_norm in ("true", "false"):
        measure(arguments, [f"model.batch_norm={batch_norm}"])


if __name__ == "__main__":
    main()
