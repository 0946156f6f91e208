"""Accumulated gradients take the memory of a micro-batch."""

import pytest

from celeba_vae.params import load_params
from celeba_vae.profiling.measuring import measure
from tests.support import ROOT


def peak(*overrides: str) -> int:
    """Return the anonymous memory of a process that trains the article's model, in bytes."""
    params = load_params(ROOT / "params.yaml", overrides)
    return measure(params, steps=1, optimizer="adam", recompute=False).peak


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_batch_in_micro_batches_takes_the_memory_of_one(backend: str) -> None:
    of = f"train.backend={backend}"
    whole = peak(of, "train.batch_size=128")
    cut = peak(of, "train.batch_size=128", "train.accumulate=8")
    small = peak(of, "train.batch_size=16")
    print(f"{backend}: batch 128 {whole:,} bytes, in 8 micro-batches {cut:,}, batch 16 {small:,}")
    # And the sums of the gradients, as large as the weights: 31 MB.
    assert cut < small + 0.2 * (whole - small) + 40e6
