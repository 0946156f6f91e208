"""Accumulated gradients take the memory of a micro-batch, in a process of their own."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

# One step of the article's model and a validation of two images; prints the peak in MB.
STEP = """
import sys
from celeba_vae.params import load_params
params = load_params(overrides=["train.epochs=1", *sys.argv[1:]])
from celeba_vae.training.determinism import configure_backend
configure_backend(params.train.backend, params.threads)
import numpy as np
from celeba_vae.model.vae import VAE
from celeba_vae.shards.read import Split
from celeba_vae.training.fit import fit
count = params.train.batch_size
images = np.random.default_rng(0).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
nothing = lambda *_: None
fit(
    VAE(params.model, size=96, seed=1),
    Split((images,), np.array([0, count])), Split((images[:2],), np.array([0, 2])), params.train,
    checkpoint_steps=1000, state=None, keep=nothing, check=nothing, watch=nothing,
)
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) // 1024)
"""


def peak(*overrides: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STEP, *overrides],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_batch_in_micro_batches_takes_the_memory_of_one(backend: str) -> None:
    of = f"train.backend={backend}"
    whole = peak(of, "train.batch_size=128")
    cut = peak(of, "train.batch_size=128", "train.accumulate=8")
    small = peak(of, "train.batch_size=16")
    print(f"{backend}: batch 128 {whole} MB, in 8 micro-batches {cut} MB, batch 16 {small} MB")
    # And the sums of the gradients, as large as the weights: 31 MB.
    assert cut < small + 0.2 * (whole - small) + 40
