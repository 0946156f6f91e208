"""Directions of attributes in the latent space, to edit faces with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_arrays

DIRECTIONS_FILE = "directions.npz"

_FIX = "`dvc repro attributes` writes it"


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


def direction_arrays(directions: Mapping[str, Floats], *, z_dim: int) -> dict[str, np.ndarray]:
    """Return the arrays of DIRECTIONS_FILE for one step, (z_dim,), of each attribute.

    They are `attributes`, the names, and `steps`, float32 (attributes, z_dim).
    """
    steps = np.zeros((len(directions), z_dim), np.float32)
    for row, step in enumerate(directions.values()):
        steps[row] = step
    return {"attributes": np.array(list(directions), dtype=np.str_), "steps": steps}


def load_directions(path: Path, *, z_dim: int) -> dict[str, NDArray[np.float32]]:
    """Read DIRECTIONS_FILE, the arrays of `direction_arrays`, for a model of z_dim dimensions.

    Raises:
        UserError: there is no such file, or it does not hold directions of z_dim dimensions.
    """
    read = read_arrays(path, fix=_FIX)
    names, steps = read.get("attributes"), read.get("steps")
    if names is None or steps is None or names.dtype.kind != "U" or steps.dtype.kind != "f":
        raise UserError(f"{path}: holds no directions, the arrays attributes and steps; {_FIX}")
    if names.ndim != 1 or steps.shape != (len(names), z_dim):
        raise UserError(
            f"{path}: holds {names.size} attributes and steps of shape {steps.shape}, but the "
            f"model has {z_dim} dimensions; is it of another model?"
        )
    if not np.isfinite(steps).all():
        raise UserError(f"{path}: holds values that are not finite; the z-points were not either")
    return dict(zip(names.tolist(), steps.astype(np.float32), strict=True))


def total_push(
    directions: Mapping[str, NDArray[np.float32]], pushes: Sequence[tuple[str, float]]
) -> NDArray[np.float32]:
    """Return the sum of pushes along attributes, (z_dim,), to be added to z-points.

    Args:
        directions: what `load_directions` returns.
        pushes: attributes and how many steps to go along each; at least one.

    Raises:
        UserError: there is no direction of such an attribute.
    """
    for name, _ in pushes:
        if name not in directions:
            allowed = ", ".join(directions) or "none: the training images' attributes are unknown"
            raise UserError(
                f"attribute {name}: the model has no direction of it; allowed {allowed}"
            )
    total: NDArray[np.float32] = np.sum(
        [np.float32(by) * directions[name] for name, by in pushes], axis=0
    )
    return total
