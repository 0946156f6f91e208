"""The number of processors must not change the bits, only the number of threads may."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT

# Two steps of the article's model on random images: large enough for every operation to be
# spread over its threads.
STEPS = """
import hashlib, json, os, sys
os.sched_setaffinity(0, json.loads(sys.argv[1]))
from celeba_vae.params import load_params
params = load_params(overrides=["train.epochs=1", "train.batch_size=64"])
from celeba_vae.backend import configure_backend
configure_backend(sys.argv[2], params.threads, params.instructions)
import numpy as np
from celeba_vae.latent.cloud import Cloud
from celeba_vae.model.vae import VAE
from celeba_vae.shards.read import Split
from celeba_vae.training.fit import fit
images = np.random.default_rng(0).integers(0, 256, (128, 96, 96, 3), dtype=np.uint8)
split = Split((images,), np.array([0, 128]))
vae = VAE(params.model, size=96, seed=1)
nothing = lambda *_: None
fit(
    vae, split, split, params.train,
    checkpoint_steps=1000, state=None, keep_state=nothing, check_images=nothing,
    on_epoch_end=nothing,
)
digest = hashlib.sha256()
for weight in vae.weights:
    digest.update(np.asarray(weight).tobytes())
cloud = np.random.default_rng(1).normal(size=(5000, 256))
digest.update(Cloud(cloud).eigenvalues.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_one_processor_gives_the_bits_of_two(backend: str) -> None:
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        pytest.skip("needs two processors")
    digests = set()
    for processors in (available[:1], available[:2]):
        done = subprocess.run(
            [sys.executable, "-c", STEPS, json.dumps(processors), backend],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": "src"},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout.splitlines()[-1])
    assert len(digests) == 1
