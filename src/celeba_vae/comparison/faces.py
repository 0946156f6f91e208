"""Faces of several runs: from N(0, I), and from the Gaussian fitted to each run's z-points."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from celeba_vae.latent.samplers import SAMPLERS_FILE, draw_gaussian, draw_normal, load_samplers
from celeba_vae.model.pretrained import load
from celeba_vae.report.metrics import FIX
from celeba_vae.runtime.arrays import Pixels
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_object


def compare_faces(runs: Mapping[str, Path], *, columns: int, seed: int) -> tuple[Pixels, list[str]]:
    """Generate two rows of faces for each run: from N(0, I), and from the Gaussian fitted to its z.

    The noise is the same in all rows, so that faces of one run stand below their counterparts.

    Args:
        runs: folders with PARTS, by the names to show.
        columns: faces in a row.
        seed: of the noise.

    Returns:
        The faces, (rows * columns, S, S, 3), and a label for each row, with the mean |z| of the
        distribution.

    Raises:
        UserError: a part of a run is missing or damaged, or the runs' images differ in size.
    """
    faces, labels = [], []
    for name, folder in runs.items():
        model = load(folder / "data/model")
        fitted = load_samplers(folder / "data/zpoints" / SAMPLERS_FILE, z_dim=model.z_dim)
        known = _radii(folder / "data/metrics/zpoints.json")
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
    return np.concatenate(faces), labels


def _radii(path: Path) -> Mapping[str, float]:
    train: Any = read_object(path, fix=FIX).get("train")
    try:
        return {name: float(train[name]) for name in ("chi_mean", "z_radius_mean")}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: holds no values of z-points; {FIX}") from None
