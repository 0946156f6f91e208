"""Fits that one process and several together do alike, as a command:

    python -m tests.training.parallel_cases FOLDER CASE...

fits, for each case, the images of FOLDER/images.npy on JAX, in as many processes as the environment
says, and writes to FOLDER/CASE-INDEX-of-PROCESSES.json what this one found.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeba_vae.params import Params
from celeba_vae.shards.read import Split
from tests.training.backend_cases import fit_case, params_of

COMMON = ("train.batch_size=8", "train.epochs=4")
# How many of the images, the case of `backend_cases`, and what is changed in it.
CASES: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "batch norm, short batches": (39, "article", ()),
    "batch norm": (40, "article", ()),
    "no batch norm, short batches": (39, "article", ("model.batch_norm=false",)),
    "resident": (39, "article", ()),
    "many": (38, "many", ()),
    "optimal": (39, "optimal", ()),
    "autoencoder": (40, "autoencoder", ()),
    "micro-batches": (38, "article", ("train.accumulate=2", "model.batch_norm=false")),
    "micro-batches, batch norm": (38, "article", ("train.accumulate=4",)),
    "bfloat16": (40, "bfloat16", ()),
}


def main() -> None:
    """Fit the cases."""
    from celeba_vae.backend import configure_jax

    jax = configure_jax(1, "avx2")

    from celeba_vae.training.parallel import process_count, process_group

    folder, *cases = sys.argv[1:]
    images = np.load(Path(folder) / "images.npy")
    with process_group("jax"):
        for case in cases:
            count, name, overrides = CASES[case]
            params = params_of(name, *COMMON, *overrides)
            found = watched(case, params, images[:count])
            path = Path(folder) / f"{case}-{jax.process_index()}-of-{process_count()}.json"
            path.write_text(json.dumps(found))


def watched(case: str, params: Params, images: np.ndarray) -> dict[str, Any]:
    """Return each step's losses, the rows read for training, the history and what weights are."""
    from celeba_vae.training import fit, jax_steps

    losses: list[float] = []
    rows: list[list[int]] = []
    compile_steps, take = vars(fit)["compile_steps"], Split.take

    def compile_watched(*given: Any) -> Any:
        steps = compile_steps(*given)

        def train(
            runs: Sequence[range], batch: Callable[[int], Any]
        ) -> Iterator[list[Mapping[str, float]]]:
            for found in steps.train(runs, batch):
                losses.extend(terms["loss"] for terms in found)
                yield found

        return steps._replace(train=train)

    def take_watched(split: Split, chosen: np.ndarray) -> np.ndarray:
        if len(split) == len(images):  # the training images, not those of validation
            rows.append(chosen.tolist())
        return take(split, chosen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "compile_steps", compile_watched)
        patch.setattr(Split, "take", take_watched)
        if case == "resident":
            patch.setattr(jax_steps, "fit_on_device", lambda images: True)  # a processor says no
        found = fit_case(params, images, None, checkpoint_steps=10**6)
    return {
        "losses": losses,
        "rows": rows,
        "history": found["history"],
        "kl_per_dimension": found["kl_per_dimension"],
        "weights": hashlib.sha256(found["weights"].tobytes()).hexdigest(),
    }


if __name__ == "__main__":
    main()
