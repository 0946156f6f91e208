"""What moves the bits of a trained model: a few steps, with one thing changed at a time.

    python -m tests.benchmarks.bits

Trains the model of params.yaml for a few steps on random images in a process of its own for each
row, and compares the weights with those of the first row.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import ROOT

IMAGES, BATCH_SIZE = 256, 32


def train_a_little(
    weights: Path, *, processors: list[int] | None = None, inter_op: int = 1, **changes: Any
) -> None:
    """Train the model of params.yaml and write all its weights into one .npy file.

    Args:
        weights: the file.
        processors: the processors that the process may use; None for all.
        inter_op: TensorFlow operations at a time; the project itself allows one.
        changes: threads; onednn or determinism False; bfloat16 True.
    """
    if processors is not None:
        os.sched_setaffinity(0, processors)
    from celeba_vae.backend import configure_tensorflow

    if inter_op != 1 or not changes.get("determinism", True) or not changes.get("onednn", True):
        _configure_otherwise(inter_op, changes)
    else:
        configure_tensorflow(changes.get("threads", 2))
    from celeba_vae.model.vae import VAE
    from celeba_vae.params import load_params
    from celeba_vae.shards.read import Split
    from celeba_vae.training.fit import fit

    if changes.get("bfloat16", False):
        import tensorflow as tf

        # TensorFlow's own rewriting of the graph: convolutions and products in bfloat16.
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    params = load_params(ROOT / "params.yaml", ["train.epochs=1", f"train.batch_size={BATCH_SIZE}"])
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 96, 96, 3), dtype=np.uint8)
    split = Split((images,), np.array([0, IMAGES]))
    vae = VAE(params.model, size=96, seed=1)
    fit(
        vae,
        split,
        split,
        params.train,
        checkpoint_steps=10**6,
        state=None,
        keep_state=lambda state: None,
        check_images=lambda: None,
        on_epoch_end=lambda row: None,
    )
    np.save(weights, np.concatenate([np.asarray(weight).ravel() for weight in vae.weights]))


def _configure_otherwise(inter_op: int, changes: dict[str, Any]) -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1" if changes.get("onednn", True) else "0"
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(inter_op)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    if changes.get("determinism", True):
        tf.config.experimental.enable_op_determinism()


# What is changed against the first row: environment, and arguments of `train_a_little`.
ROWS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "as in the pipeline": ({}, {}),
    "again": ({}, {}),
    "one processor": ({}, {"processors": [0]}),
    "threads: 1": ({}, {"threads": 1}),
    "threads: 4": ({}, {"threads": 4}),
    "instructions up to AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, {}),
    "instructions up to SSE 4.1": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, {}),
    "oneDNN off": ({}, {"onednn": False}),
    "operations two at a time": ({}, {"inter_op": 2}),
    "operations two at a time, again": ({}, {"inter_op": 2}),
    "kernels not deterministic": ({}, {"determinism": False}),
    "kernels not deterministic, again": ({}, {"determinism": False}),
    "compiled by XLA": ({"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"}, {}),
    "products in bfloat16": ({}, {"bfloat16": True}),
}


def main() -> None:
    """Print for each row whether the bits are those of the first, and how far the weights are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        train_a_little(arguments.out, **json.loads(arguments.row))
        return
    print(f"{'':<34}{'same bits':<12}largest difference of a weight")
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for name, (environment, changes) in ROWS.items():
            out = Path(folder) / "weights.npy"
            command = [sys.executable, "-m", "tests.benchmarks.bits", "--out", str(out)]
            done = subprocess.run(
                [*command, "--row", json.dumps(changes)],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"{name:<34}failed: {done.stderr.strip().splitlines()[-1]:.120}")
                continue
            weights = np.load(out)
            first = weights if first is None else first
            same = weights.tobytes() == first.tobytes()
            print(
                f"{name:<34}{'yes' if same else 'no':<12}{np.abs(weights - first).max():.2g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
