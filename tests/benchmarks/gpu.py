"""How long an epoch takes on a GPU: our training on JAX beside the same network in PyTorch.

    python -m tests.benchmarks.gpu
    python -m tests.benchmarks.gpu --images 96 --batch 16 8 -S prepare.size=32   # to try it out

Needs JAX and PyTorch with CUDA, keras (with namex and optree), pydantic, pyyaml, h5py, scipy,
threadpoolctl and tqdm, and no TensorFlow. Without PyTorch its rows are left out.

170,000 random images of 96x96 lie in the device's memory as uint8; both compute in bfloat16. Each
contender is a process of its own and waits while another runs an epoch. Ours runs as `train` does:
the exact shuffle, and the noise of each batch made on the host and copied; PyTorch draws both on
the device, with channels_last, torch.compile and the fused Adam. First both get the same weights,
images and noise, and their losses in float32 and bfloat16 are compared, and their numbers of
parameters.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.turns import Contender, median_of, ratio, serve, take_turns
from tests.support import ROOT

OURS, UNBOUND, PYTORCH = "ours", "ours, not deterministic", "PyTorch"
# So many images are drawn; the others repeat them.
BLOCK = 10_000
# Images on which the losses are compared.
COMPARED = 64
FLOAT32_TOLERANCE, BFLOAT16_TOLERANCE = 1e-4, 5e-3


def block_of(images: int, size: int) -> np.ndarray:
    """Return random pixels, uint8 (n, size, size, 3), with n at most BLOCK."""
    shape = (min(images, BLOCK), size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def params_of(arguments: argparse.Namespace, batch_size: int) -> Any:
    """Return the project's parameters with the changes of the command."""
    from celeba_vae.params import load_params

    changes = ["train.backend=jax", f"train.batch_size={batch_size}", *arguments.set]
    return load_params(
        ROOT / "params.yaml", ["prepare.split=drawn", "train.precision=bfloat16", *changes]
    )


class Ours:
    """Our training on JAX."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, *, bound: bool) -> None:
        from celeba_vae.backend import configure_jax

        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.4")
        self.jax = configure_jax(2, "avx2")
        if not bound:
            os.environ["XLA_FLAGS"] += " --xla_gpu_deterministic_ops=false"
        from celeba_vae.model.vae import VAE
        from celeba_vae.shards.read import Split
        from celeba_vae.training import jax_steps
        from celeba_vae.training.schedules import make_optimizer

        params = params_of(arguments, arguments.batch[0])
        self.params = params.train
        block = block_of(arguments.images, params.prepare.size)
        whole, rest = divmod(arguments.images, len(block))
        shards = (block,) * whole + ((block[:rest],) if rest else ())
        starts = np.cumsum([0, *(len(shard) for shard in shards)])
        self.images = Split(shards, starts)
        built = {"size": params.prepare.size, "seed": 1}
        compare(
            VAE(params.model, **built), VAE(params.model, **built, precision="bfloat16"), folder
        )
        self.vae = VAE(params.model, **built, precision=self.params.precision)
        parameters = sum(int(np.prod(weight.shape)) for weight in self.vae.trainable_weights)
        self.optimizer = make_optimizer(
            self.params, steps_per_epoch=-(-arguments.images // self.params.batch_size)
        )
        self.optimizer.build(self.vae.trainable_variables)
        resident = jax_steps.fit_on_device(self.images)
        if resident:
            held = jax_steps.to_device(self.images, lambda: None)
            for row in (0, arguments.images // 2, arguments.images - 1):
                assert np.array_equal(held[row], self.images.take(np.array([row]))[0]), row
            del held
        self.steps = jax_steps.compile_steps(
            self.vae, self.optimizer, self.params, self.images, lambda: None
        )
        device = self.jax.devices()[0]
        notes = (
            f"JAX {self.jax.__version__}, {device.device_kind}, images "
            f"{'on the device' if resident else 'fed'}, {self.steps.longest} steps in a run"
        )
        self.ready = {"parameters": parameters, "notes": notes}

    def round(self, number: int) -> dict[str, Any]:
        """Train for an epoch; return the mean loss and the most bytes of the device in use."""
        from celeba_vae.training.fit import batches_of_epoch, runs_of_epoch

        z_dim = self.vae.decoder.input_shape[-1]
        batch = batches_of_epoch(len(self.images), self.params, z_dim=z_dim, epoch=number)
        count = -(-len(self.images) // self.params.batch_size)
        runs = runs_of_epoch(
            range(count),
            longest=self.steps.longest,
            every=10**9,
            before=0,
            whole=len(self.images) // self.params.batch_size,
        )
        losses = [step["loss"] for run in self.steps.train(runs, batch) for step in run]
        assert "tensorflow" not in sys.modules
        memory = self.jax.devices()[0].memory_stats()
        peak = None if memory is None else memory["peak_bytes_in_use"]
        return {"loss": float(np.mean(losses)), "memory": peak}


def compare(full: Any, half: Any, folder: Path) -> None:
    """Write weights, images, noise and our losses, for PyTorch to compare itself with."""
    import keras

    from celeba_vae.model.losses import vae_losses

    size = full.encoder.input_shape[1]
    images = block_of(COMPARED, size)
    noise = np.random.default_rng(1).standard_normal(
        (COMPARED, full.decoder.input_shape[-1]), dtype=np.float32
    )
    found = {}
    for name, vae in (("float32", full), ("bfloat16", half)):
        # No variable changes: batch norm's moving averages stay as they are.
        with keras.StatelessScope():
            terms = vae_losses(
                vae, images, noise, loss="bernoulli", sigma=None, kl_weight=np.float32(15.0),
                free_bits=0.0, training=True,
            )  # fmt: skip
        found[name] = float(terms["loss"])
    weights = {
        f"{part}/{weight.path}": np.asarray(weight)
        for part in ("encoder", "decoder")
        for weight in getattr(full, part).weights
    }
    np.savez(folder / "weights.npz", allow_pickle=False, **weights)
    np.savez(folder / "batch.npz", images=images, noise=noise)
    (folder / "losses.json").write_text(json.dumps(found))


class PyTorch:
    """The same network, written as a user of PyTorch would write it."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        import torch

        from tests.benchmarks.torch_vae import TorchVAE, load_weights, loss_of

        self.torch, self.loss_of = torch, loss_of
        # float32 is compared as float32; bfloat16 is not touched by this.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        params = params_of(arguments, arguments.batch[0])
        self.batch_size, self.kl_weight = params.train.batch_size, params.train.kl_weight
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.vae = TorchVAE(params.model, size=params.prepare.size)
        self.vae = self.vae.to(self.device, memory_format=torch.channels_last)
        load_weights(self.vae, dict(np.load(folder / "weights.npz")))
        parameters = sum(parameter.numel() for parameter in self.vae.parameters())
        self.check_losses(folder)
        block = torch.from_numpy(block_of(arguments.images, params.prepare.size)).to(self.device)
        self.images = block.repeat(-(-arguments.images // len(block)), 1, 1, 1)[: arguments.images]
        fused = {"fused": True} if self.device == "cuda" else {}
        self.optimizer = torch.optim.Adam(
            self.vae.parameters(), lr=params.train.learning_rate, eps=1e-7, **fused
        )
        self.loss = self.batch_loss
        if arguments.torch_mode != "eager":
            self.loss = torch.compile(self.batch_loss, mode=arguments.torch_mode, dynamic=False)
        notes = f"PyTorch {torch.__version__}, {arguments.torch_mode}"
        self.ready = {"parameters": parameters, "notes": notes}

    def batch_loss(self, images: Any, noise: Any) -> Any:
        """Return the loss of uint8 images (n, size, size, 3), computed in bfloat16."""
        with self.torch.autocast(self.device, self.torch.bfloat16):
            return self.loss_of(self.vae, images, noise, self.kl_weight)

    def check_losses(self, folder: Path) -> None:
        """Compare the losses at equal weights with ours, and say them."""
        torch = self.torch
        batch = np.load(folder / "batch.npz")
        # This network is the mirror image, see torch_vae.
        images = torch.from_numpy(batch["images"][:, ::-1, ::-1].copy()).to(self.device)
        noise = torch.from_numpy(batch["noise"]).to(self.device)
        expected = json.loads((folder / "losses.json").read_text())
        kept = {name: value.clone() for name, value in self.vae.state_dict().items()}
        with torch.no_grad():
            found = {"float32": float(self.loss_of(self.vae, images, noise, 15.0))}
            with torch.autocast(self.device, torch.bfloat16):
                found["bfloat16"] = float(self.loss_of(self.vae, images, noise, 15.0))
        self.vae.load_state_dict(kept)
        for name, allowed in (("float32", FLOAT32_TOLERANCE), ("bfloat16", BFLOAT16_TOLERANCE)):
            apart = abs(found[name] / expected[name] - 1)
            print(
                f"loss at equal weights in {name}: ours {expected[name]:.3f}, PyTorch "
                f"{found[name]:.3f} nats/image, {apart:.1e} apart",
                file=sys.stderr,
            )
            assert apart <= allowed, f"{name}: the networks are not the same"

    def round(self, number: int) -> dict[str, Any]:
        """Train for an epoch; return the mean loss and the most bytes of the device in use."""
        torch = self.torch
        order = torch.randperm(len(self.images), device=self.device)
        losses = []
        for rows in order.split(self.batch_size):
            noise = torch.randn((len(rows), self.vae.z_dim), device=self.device)
            loss = self.loss(self.images[rows], noise)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach().clone())
        loss = float(torch.stack(losses).mean())
        peak = torch.cuda.max_memory_allocated() if self.device == "cuda" else None
        return {"loss": loss, "memory": peak}


def measure(arguments: argparse.Namespace, batch_size: int) -> None:
    """Run the contenders by turns with one size of a batch, and print their figures."""
    names = [OURS, UNBOUND, PYTORCH]
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed: its row is left out")
        names.remove(PYTORCH)
    print(f"\nbatch {batch_size}, {arguments.images:,} images, {arguments.epochs} epochs each")
    with tempfile.TemporaryDirectory() as folder:
        shared = ["-m", "tests.benchmarks.gpu", "--folder", folder]
        shared += ["--images", str(arguments.images), "--batch", str(batch_size)]
        shared += ["--torch-mode", arguments.torch_mode]
        for change in arguments.set:
            shared += ["-S", change]
        commands = {name: [*shared, "--worker", name] for name in names}
        ready, found = take_turns(commands, arguments.epochs)
    assert len({one["parameters"] for one in ready.values()}) == 1, ready
    print(f"{ready[OURS]['parameters']:,} trained parameters in each")
    for name in names:
        seconds = [one["seconds"] for one in found[name]]
        median = median_of(found[name])
        memory = found[name][-1]["memory"]
        peak = "" if memory is None else f", peak {memory / 1e9:.1f} GB"
        print(
            f"{name:<24}{median:8.3f} s an epoch ({min(seconds):.3f} to {max(seconds):.3f}), "
            f"{arguments.images / median:10,.0f} images/s, "
            f"{ratio(found[names[-1]], found[name]):.2f} times the last "
            f"row{peak}; loss {found[name][-1]['loss']:.1f}; ready after "
            f"{ready[name]['seconds']:.0f} s; {ready[name]['notes']}",
            flush=True,
        )


def contender(arguments: argparse.Namespace) -> Contender:
    """Make the contender that the command names."""
    folder = Path(arguments.folder)
    if arguments.worker == PYTORCH:
        return PyTorch(arguments, folder)
    return Ours(arguments, folder, bound=arguments.worker == OURS)


def main() -> None:
    """Measure each size of a batch."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=170_000, help="training images (170000)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1024, 128], help="(1024 128)")
    parser.add_argument("--epochs", type=int, default=5, help="measured epochs of each (5)")
    parser.add_argument(
        "--torch-mode",
        default="default",
        choices=["default", "reduce-overhead", "max-autotune", "eager"],
        help="of torch.compile; eager compiles nothing (default)",
    )
    parser.add_argument(
        "-S", "--set", action="append", default=[], help="a parameter, as group.key=value"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(lambda: contender(arguments))
        return
    for batch_size in arguments.batch:
        measure(arguments, batch_size)


if __name__ == "__main__":
    main()
