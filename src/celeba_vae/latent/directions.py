"""Directions of attributes in the latent space, to edit faces with."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_arrays

DIRECTIONS_FILE = "directions.npz"

# Below this much of a direction is chance, such as a brighter background.
RELIABLE_AUC = 0.8

NO_DIRECTIONS = (
    "none at all, as the attributes of its training images are unknown: bring them in a "
    "list_attr_celeba.csv beside the images"
)

_FIX = "`dvc repro attributes` writes it"


@dataclass(frozen=True)
class Direction:
    """One step towards an attribute.

    Attributes:
        step: float32 (z_dim,), see `attribute_direction`.
        auc: how well the attribute can be read off mu: the area under the ROC curve of its linear
            probe on the test images, 0.5 for guessing and 1 for no mistake.
    """

    step: NDArray[np.float32]
    auc: float


def attribute_direction(mu: Floats, has: NDArray[np.bool_]) -> Floats:
    """Return one step towards an attribute: s u, a standard deviation of mu along u.

    With the unit vector u of m1 - m0, the difference between the centres of the images that have
    it and of those that lack it, the step is s u with s^2 = u' C u, where C is the covariance of
    mu over all images. A face is edited by z = mu + steps * s u.

    Not the weight vector of the logistic probe, which is what to read the attribute off with: it
    is turned away from what varies together, and so leaves the cloud of the z-points (Haufe et
    al. 2014, NeuroImage 87, on filters and patterns). Measured on CelebA with kl_weight 1 and 15,
    two steps, decoded and encoded again: along m1 - m0 the probe's score moved by 0.8 to 2.2 of
    its standard deviations for Smiling, Eyeglasses, Male and Young, along its weights (in
    standardised dimensions) by 0.2 to 0.8, and other attributes moved by about the same share of
    that. Attributes that go together in the data go together here: Male has no lipstick.

    Args:
        mu: (n, z_dim), of the training images.
        has: (n,), which images have the attribute; some have and some lack it.

    Returns:
        (z_dim,); zeros where both centres are the same.
    """
    difference: Floats = mu[has].mean(axis=0) - mu[~has].mean(axis=0)
    length = np.linalg.norm(difference)
    if length == 0:
        return difference
    unit = difference / length
    step: Floats = (mu @ unit).std() * unit
    return step


def direction_arrays(
    steps: Mapping[str, Floats], aucs: Mapping[str, float], *, z_dim: int
) -> dict[str, np.ndarray]:
    """Return the arrays of DIRECTIONS_FILE: one step, (z_dim,), and the AUC of each attribute.

    They are `attributes`, the names; `steps`, float32 (attributes, z_dim); `auc`, (attributes,).
    """
    rows = np.zeros((len(steps), z_dim), np.float32)
    for row, step in enumerate(steps.values()):
        rows[row] = step
    return {
        "attributes": np.array(list(steps), dtype=np.str_),
        "steps": rows,
        "auc": np.array([aucs[name] for name in steps], np.float64),
    }


def load_directions(path: Path, *, z_dim: int) -> dict[str, Direction]:
    """Read DIRECTIONS_FILE, the arrays of `direction_arrays`, for a model of z_dim dimensions.

    Raises:
        UserError: there is no such file, or it does not hold directions of z_dim dimensions.
    """
    read = read_arrays(path, fix=_FIX)
    if [read[name].dtype.kind for name in ("attributes", "steps", "auc") if name in read] != [
        *"Uff"
    ]:
        raise UserError(
            f"{path}: holds no directions, the arrays attributes, steps and auc; {_FIX}"
        )
    names, steps, aucs = read["attributes"], read["steps"], read["auc"]
    if names.ndim != 1 or steps.shape != (len(names), z_dim) or aucs.shape != names.shape:
        raise UserError(
            f"{path}: holds {names.size} attributes and steps of shape {steps.shape}, but the "
            f"model has {z_dim} dimensions; is it of another model?"
        )
    if not np.isfinite(steps).all():
        raise UserError(f"{path}: holds values that are not finite; the z-points were not either")
    if not ((aucs >= 0) & (aucs <= 1)).all():
        raise UserError(f"{path}: holds an AUC that is not from 0 to 1; {_FIX}")
    return {
        name: Direction(step, auc)
        for name, step, auc in zip(
            names.tolist(), steps.astype(np.float32), aucs.tolist(), strict=True
        )
    }


def total_push(
    directions: Mapping[str, Direction], pushes: Mapping[str, float]
) -> NDArray[np.float32]:
    """Return the sum of pushes along attributes, (z_dim,), to be added to z-points.

    Args:
        directions: what `load_directions` returns.
        pushes: how many steps to go along each attribute; at least one attribute.

    Raises:
        UserError: there is no direction of such an attribute.
    """
    for name in pushes:
        if name not in directions:
            raise UserError(
                f"attribute {name}: the model has no direction of it; {_hint(name, directions)}"
            )
    total: NDArray[np.float32] = np.sum(
        [np.float32(by) * directions[name].step for name, by in pushes.items()], axis=0
    )
    return total


def _hint(name: str, directions: Mapping[str, Direction]) -> str:
    if not directions:
        return f"it has {NO_DIRECTIONS}"
    close = get_close_matches(name, directions, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"allowed: {', '.join(directions)}"
