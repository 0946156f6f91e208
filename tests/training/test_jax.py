"""JAX against TensorFlow, from the same state, with the same noise, images and parameters."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeba_vae.model.vae import VAE
from celeba_vae.training.state import save_state
from tests.support import ROOT, run
from tests.training.backend_cases import CASES, fit_case, params_of, sums_of

QUICK = ("many",)
NATIVE = ("bfloat16",)
# Compiling is most of the time: the program need not be a fast one.
FAST_TO_COMPILE = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def compare(cases: tuple[str, ...], images: np.ndarray, folder: Path) -> None:
    """Fit cases on both backends, each from TensorFlow's state after the first step."""
    on_tensorflow: dict[str, Any] = {}
    np.save(folder / "images.npy", images)
    for case in cases:
        on_tensorflow[case] = fit_case(params_of(case), images, None)
        (folder / case).mkdir()
        save_state(folder / case, on_tensorflow[case]["states"][0])
    command = [sys.executable, "-m", "tests.training.backend_cases", str(folder), *cases]
    environment = {"PYTHONPATH": str(ROOT / "src"), "XLA_FLAGS": FAST_TO_COMPILE}
    done = run(*command, cwd=ROOT, env=environment, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    for case in cases:
        compare_case(case, on_tensorflow[case], folder / case)


def compare_case(case: str, expected: dict[str, Any], place: Path) -> None:
    params = params_of(case)
    # Within bfloat16 the backends round differently: by as much as it differs from float32.
    tolerance = 5e-3 if params.train.precision == "bfloat16" else 1e-4
    found = json.loads((place / "found.json").read_text())
    rows = [*zip(found["sums"], sums_of(expected)[1:], strict=True)]
    rows += zip(found["history"], expected["history"], strict=True)
    assert len(rows) == 5
    for row, other in rows:
        assert list(row) == list(other)
        for key, value in row.items():
            # Batch norm takes the biases before it away, so their gradients are nothing but
            # rounding, by which Adam moves them all the same. Only validation sees that, whose
            # moving averages lag behind.
            lags = params.model.batch_norm and key.startswith("val_kl")
            allowed = 0.02 if lags else tolerance
            assert value == pytest.approx(other[key], rel=allowed, abs=1e-6), (case, key)
    vae = VAE(params.model, size=32, seed=9, learned_sigma=params.train.sigma == "learned")
    vae.load_weights(place / "vae.weights.h5")
    loaded = np.concatenate([np.asarray(weight).ravel() for weight in vae.weights])
    assert np.array_equal(loaded, np.load(place / "weights.npy"))
    # Adam moves a weight whose gradient is nothing but rounding by a whole learning rate.
    assert np.median(np.abs(loaded - expected["weights"])) < 1e-5 + tolerance / 10


def test_the_same_losses_as_on_tensorflow(random_images: np.ndarray, tmp_path: Path) -> None:
    compare(QUICK, random_images, tmp_path)


@pytest.mark.slow
def test_all_kinds_of_models_have_the_same_losses(
    random_images: np.ndarray, tmp_path: Path
) -> None:
    compare(tuple(case for case in CASES if case not in QUICK + NATIVE), random_images, tmp_path)


@pytest.mark.slow
@pytest.mark.native
def test_in_bfloat16_the_losses_are_as_near_as_it_is_exact(
    random_images: np.ndarray, tmp_path: Path
) -> None:
    compare(NATIVE, random_images, tmp_path)
