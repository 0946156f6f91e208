"""Fits that both backends do, and the command that does them on JAX.

Keras has one backend in a process, and that of the tests is TensorFlow:

    python -m tests.training.backend_cases FOLDER CASE...

goes on, for each case, from the state in FOLDER/CASE, on the images of FOLDER/images.npy.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from celeba_vae.params import Params, load_params
from celeba_vae.shards.read import Split
from celeba_vae.training.state import State, load_state
from celeba_vae.verify.tiny_params import TINY
from tests.support import ROOT

# 40 images in batches of 16: the last batch of an epoch is short.
COMMON = (*TINY, "train.kl_weight=3.0")
CASES: dict[str, tuple[str, ...]] = {
    "article": (),
    "many": (
        "train.loss=gaussian",
        "train.sigma=learned",
        "train.clip_norm=50.0",
        "train.ema=0.8",
        "train.select=best",
        "train.free_bits=0.05",
        "train.kl_schedule=linear",
        "train.kl_schedule_epochs=2",
        "train.learning_rate_schedule=exponential",
        "train.learning_rate_decay=0.7",
    ),
    "optimal": (
        "train.loss=gaussian",
        "train.sigma=optimal",
        "train.learning_rate_schedule=cosine",
    ),
    "autoencoder": ("model.variational=false", "model.batch_norm=false"),
    "residual": ("model.blocks=residual", "model.inter_dense=7", "model.log_var_bound=10.0"),
    "micro-batches": ("train.accumulate=4",),
    "micro-batches, no batch norm": ("train.accumulate=8", "model.batch_norm=false"),
    "bfloat16": ("train.precision=bfloat16", "instructions=native"),
}


def params_of(case: str, *more: str) -> Params:
    """Return the parameters of a case."""
    return load_params(ROOT / "params.yaml", [*COMMON, *CASES[case], *more])


def fit_case(
    params: Params, images: np.ndarray, state: State | None, *, checkpoint_steps: int = 1
) -> dict[str, Any]:
    """Fit, keeping the state after every so many steps.

    Returns:
        "states"; "history"; "kl_per_dimension"; and "weights", all of them in one array.
    """
    from celeba_vae.model.vae import VAE
    from celeba_vae.training.fit import fit

    train = params.train
    vae = VAE(
        params.model,
        size=params.prepare.size,
        seed=train.seed,
        learned_sigma=train.sigma == "learned",
        precision=train.precision,
    )
    half = len(images) // 2
    states: list[State] = []
    fitted = fit(
        vae,
        Split((images[:half], images[half:]), np.array([0, half, len(images)])),
        Split((images[:10],), np.array([0, 10])),
        train,
        checkpoint_steps=checkpoint_steps,
        state=state,
        keep_state=states.append,
        check_images=lambda: None,
        on_epoch_end=lambda row: None,
    )
    weights = np.concatenate([np.asarray(weight).ravel() for weight in vae.weights])
    return {
        "states": states,
        "history": fitted.history,
        "kl_per_dimension": fitted.kl_per_dimension,
        "weights": weights,
        "vae": vae,
    }


def sums_of(found: dict[str, Any]) -> list[dict[str, float]]:
    """Return the sums of the terms over the epoch so far, for each state within an epoch."""
    return [state.notes["sums"] for state in found["states"] if state.step]


def main() -> None:
    """Fit the cases on JAX, and check what can be checked here alone."""
    from celeba_vae.backend import configure_jax

    jax = configure_jax(2, "avx2")
    folder, *cases = sys.argv[1:]
    # What is fitted again is the same program: it is compiled once.
    jax.config.update("jax_compilation_cache_dir", f"{folder}/programs")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    images = np.load(Path(folder) / "images.npy")
    for case in cases:
        place = Path(folder) / case
        state, _ = load_state(place)
        assert state is not None
        before = [array.copy() for array in state.arrays["weights"]]
        found = fit_case(params_of(case), images, state)
        for first, now in zip(before, state.arrays["weights"], strict=True):
            assert np.array_equal(first, now), "the device wrote into the state"
        if case == "many":
            check_resumption(case, images, found)
            check_images_on_the_device(case, images, found)
            check_the_step_is_named(images)
        found["vae"].save_weights(place / "vae.weights.h5")
        np.save(place / "weights.npy", found["weights"])
        result = {"sums": sums_of(found), "history": found["history"]}
        (place / "found.json").write_text(json.dumps(result))
    assert "tensorflow" not in sys.modules


def check_resumption(case: str, images: np.ndarray, whole: dict[str, Any]) -> None:
    """Go on from states within and at the end of epochs, into the same bits."""
    for state in whole["states"][1:-1:2]:
        again = fit_case(params_of(case), images, state)
        for key in ("history", "kl_per_dimension"):
            assert again[key] == whole[key], (key, state.epoch, state.step)
        assert again["weights"].tobytes() == whole["weights"].tobytes()


def check_images_on_the_device(case: str, images: np.ndarray, fed: dict[str, Any]) -> None:
    """Fit with the images on the device, in runs of one and of several steps."""
    from celeba_vae.training import jax_steps

    state = fed["states"][0]
    jax_steps.fit_on_device = lambda images: True  # a processor says no
    found = []
    for run_images in (16, 10**6):
        jax_steps.RUN_IMAGES = run_images
        found.append(fit_case(params_of(case), images, state))
        assert np.allclose(found[-1]["weights"], fed["weights"], rtol=1e-4, atol=1e-4)
        for row, other in zip(found[-1]["history"], fed["history"], strict=True):
            assert np.allclose(list(row.values()), list(other.values()), rtol=1e-4)


def check_the_step_is_named(images: np.ndarray) -> None:
    """Let the loss grow beyond all bounds within a run of several steps."""
    from celeba_vae.runtime.errors import UserError

    params = params_of("autoencoder", "train.learning_rate=1e6", "train.batch_size=8")
    try:
        fit_case(params, images, None, checkpoint_steps=5)
    except UserError as error:
        assert "the loss is not finite at epoch 1, step " in str(error), error
        assert "step 1:" not in str(error), error
    else:
        raise AssertionError("the loss stayed finite")


if __name__ == "__main__":
    main()
