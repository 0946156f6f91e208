"""Comparison of runs: faces from N(0, I), and from the Gaussian fitted to each run's z-points."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.latent.samplers import SAMPLERS_FILE, draw_gaussian, draw_normal, load_samplers
from celeba_vae.model.pretrained import load
from celeba_vae.plots.grids import labelled_grid
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_object

# What DVC calls the results that lie in data/ now.
WORKSPACE = "workspace"

# What a comparison reads, below data/: folders and files.
_PARTS = ("model", f"zpoints/{SAMPLERS_FILE}", "metrics/zpoints.json")


def fetch_run(revision: str, folder: Path) -> Path:
    """Return the folder with the results of a run, brought there out of DVC's cache.

    Args:
        revision: a Git revision (commit, branch, tag) or the name of a DVC experiment of this
            project; WORKSPACE for what lies in data/ now.
        folder: an empty folder, where the results are put; unused with WORKSPACE.

    Raises:
        UserError: no such revision, or its results are not in the cache.
    """
    if revision == WORKSPACE:
        return Path("data")
    # DVC takes half a second to load, which other commands need not wait for.
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    files = DVCFileSystem(rev=revision)
    for part in _PARTS:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            files.get(f"data/{part}", str(target), recursive=True)
        except (DataIndexError, FileNotFoundError):
            raise UserError(
                f"{revision}: its data/{part} is not in DVC's cache; run it (`dvc exp run`, `dvc "
                "repro`), or bring it from a remote (`dvc fetch`)"
            ) from None
        except DvcException as error:
            raise UserError(
                f"{revision}: {error}; `dvc exp list` and `git log` name those there are, and "
                f"{WORKSPACE} is what lies in data/"
            ) from None
    return folder


def compare_faces(runs: Mapping[str, Path], *, columns: int, seed: int) -> NDArray[np.uint8]:
    """Draw two rows of faces for each run: from N(0, I), and from the Gaussian fitted to its z.

    The noise is the same in all rows, so that faces of one run stand below their counterparts.

    Args:
        runs: folders with `model`, `zpoints` and `metrics`, by the names to show.
        columns: faces in a row.
        seed: of the noise.

    Returns:
        (height, width, 3), a labelled grid; the labels give the mean |z| of the points that were
        drawn from.

    Raises:
        UserError: a part of a run is missing or damaged, or the runs' images differ in size.
    """
    faces, labels = [], []
    for name, folder in runs.items():
        model = load(folder / "model")
        fitted = load_samplers(folder / "zpoints" / SAMPLERS_FILE, z_dim=model.z_dim)
        known = _radii(folder / "metrics/zpoints.json")
        for points, source, radius in (
            (draw_normal(columns, model.z_dim, seed), "N(0, I)", known["chi_mean"]),
            (draw_gaussian(fitted.gaussian, columns, seed), "its z", known["z_radius_mean"]),
        ):
            faces.append(model.decode(points))
            labels.append(f"{name}, from {source} (|z| {radius:.1f})")
        if model.size != faces[0].shape[1]:
            raise UserError(
                f"{name} draws faces of {model.size} pixels, the first run of {faces[0].shape[1]}: "
                "compare runs with the same prepare.size"
            )
    return labelled_grid(np.concatenate(faces), columns=columns, labels=labels)


def _radii(path: Path) -> Mapping[str, float]:
    fix = "`dvc repro` makes it anew"
    train: Any = read_object(path, fix=fix).get("train")
    try:
        return {name: float(train[name]) for name in ("chi_mean", "z_radius_mean")}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: holds no values of z-points; {fix}") from None
