"""The scratch folder: files that are neither results nor versioned, and may be deleted."""

import os
from pathlib import Path

from celeba_vae.runtime.places import check_outside

SCRATCH_VARIABLE = "CELEBA_VAE_SCRATCH"


def scratch_folder(name: str) -> Path:
    """Return the part `name` of the scratch folder.

    It lies in data/scratch, which git ignores and DVC does not know: what DVC deletes before a
    run, or rolls back, cannot live among a stage's outs. Experiments that DVC runs in a copy of the
    project use the original's: the copy is deleted with all that lies in it. The environment
    variable CELEBA_VAE_SCRATCH moves it, so that other checkouts can share it.

    Raises:
        UserError: the variable leads into a folder that DVC deletes.
    """
    folder = Path(os.environ.get(SCRATCH_VARIABLE) or _original() / "data/scratch") / name
    check_outside(folder, SCRATCH_VARIABLE)
    return folder


def _original() -> Path:
    """Return the top of the project, also for a stage of `dvc exp run --temp` or `--queue`."""
    # DVC gives it to each stage that it runs.
    top = Path(os.environ.get("DVC_ROOT", ""))
    return Path() if top.resolve() == Path.cwd() else top
