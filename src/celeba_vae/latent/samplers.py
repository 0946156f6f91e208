"""Samplers of z-points: the prior N(0, I), and distributions fitted to a cloud of z-points.

Four samplers, see SAMPLERS: normal, N(0, I); gaussian, the normal distribution with the centre
and the covariance of the cloud; gmm, a mixture of normal distributions; ellipse, points within
the confidence ellipses of the cloud's principal planes, the method of the article series.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.params import Sampler
from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_arrays

SAMPLERS: tuple[Sampler, ...] = ("normal", "gaussian", "gmm", "ellipse")
SAMPLERS_FILE = "samplers.npz"

# Share of a plane's points within its confidence ellipse.
CONFIDENCE = 0.95

_FIX = "`dvc repro zpoints` writes it"
_FARTHEST = 1e15
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Gaussian:
    """A multivariate normal distribution: z = mean + noise @ root, with noise from N(0, I).

    Attributes:
        mean: (z_dim,).
        root: (z_dim, z_dim), the symmetric square root of the covariance matrix. Unlike a
            Cholesky factor it exists for a flat cloud too, and unlike eigenvectors it has no
            free signs or rotations, so a small change of the cloud is a small change of z.
    """

    mean: Floats
    root: Floats


@dataclass(frozen=True)
class Mixture:
    """A mixture of k normal distributions whose ellipsoids all lie along the same axes.

    Attributes:
        weights: (k,), with the sum 1.
        means: (k, z_dim).
        deviations: (k, z_dim), along the axes.
        axes: (z_dim, z_dim), an axis in each column.
    """

    weights: Floats
    means: Floats
    deviations: Floats
    axes: Floats


@dataclass(frozen=True)
class Ellipse:
    """The principal axes of a cloud, widest first.

    Attributes:
        mean: (z_dim,).
        deviations: (z_dim,), along the axes, descending.
        axes: (z_dim, z_dim), an axis in each column.
    """

    mean: Floats
    deviations: Floats
    axes: Floats


@dataclass(frozen=True)
class FittedSamplers:
    """All samplers, fitted to one cloud of z-points, and which of them did best on validation.

    Attributes:
        gaussian: of the sampler of that name.
        mixture: of the sampler gmm.
        ellipse: of the sampler of that name.
        temperatures: (4,), the best temperature of each sampler, in the order of SAMPLERS.
        best: the best sampler.
    """

    gaussian: Gaussian
    mixture: Mixture
    ellipse: Ellipse
    temperatures: Floats
    best: Sampler

    def chosen(self, sampler: Sampler | None, temperature: float | None) -> tuple[Sampler, float]:
        """Return sampler and temperature; None becomes what did best on validation."""
        name = sampler or self.best
        best = float(self.temperatures[SAMPLERS.index(name)])
        return name, best if temperature is None else temperature


def draw_normal(n: int, z_dim: int, seed: int) -> NDArray[np.float32]:
    """Return n points of N(0, I) as float32, (n, z_dim); the first of more points are the same."""
    return _noise(n, z_dim, seed).astype(np.float32)


def draw_gaussian(gaussian: Gaussian, n: int, seed: int) -> NDArray[np.float32]:
    """Return n points of a fitted Gaussian as float32, (n, z_dim).

    The noise is that of `draw_normal` with the same seed: the points correspond one to one, and
    pictures made of them show what the fit alone changes.
    """
    noise = _noise(n, len(gaussian.mean), seed)
    return (gaussian.mean + noise @ gaussian.root).astype(np.float32)


def draw_mixture(mixture: Mixture, n: int, seed: int) -> NDArray[np.float32]:
    """Return n points of a mixture as float32, (n, z_dim)."""
    noise = _noise(n, mixture.means.shape[1], seed)
    ends = np.cumsum(mixture.weights)
    # The last end may be below 1 by rounding.
    which = np.minimum(np.searchsorted(ends, _uniform(n, seed), side="right"), len(ends) - 1)
    along = noise * mixture.deviations[which]
    points = mixture.means[which] + along @ mixture.axes.T
    return points.astype(np.float32)


def draw_ellipse(ellipse: Ellipse, n: int, seed: int) -> NDArray[np.float32]:
    """Return n points within the confidence ellipses of a cloud as float32, (n, z_dim).

    After the article series (A. Fragmentation, X): the principal axes are taken in pairs, the
    first two widest, the next two, and so on; in each such plane the normal distribution with the
    cloud's deviations is cut off at the ellipse that holds CONFIDENCE of it; the point is turned
    and moved back. A last single axis is cut off at the same number of deviations. The variance
    in a plane is 1 - (c / 2) exp(-c / 2) / CONFIDENCE of the cloud's with c = -2 ln(1 -
    CONFIDENCE), that is 0.842: temperature makes up for it.
    """
    z_dim = len(ellipse.mean)
    noise = _noise(n, z_dim + z_dim % 2, seed).reshape(n, -1, 2)
    squares = (noise**2).sum(axis=2, keepdims=True)
    # Each plane's squared radius is chi-square with 2 degrees of freedom; a monotone function of
    # it takes its distribution to the truncated one and leaves the direction as it is.
    shares = CONFIDENCE * -np.expm1(-squares / 2)
    inside = noise * np.sqrt(-2 * np.log1p(-shares) / squares)
    along = inside.reshape(n, -1)[:, :z_dim] * ellipse.deviations
    points: Floats = ellipse.mean + along @ ellipse.axes.T
    return points.astype(np.float32)


def draw(
    fitted: FittedSamplers, sampler: Sampler, n: int, *, seed: int, temperature: float
) -> NDArray[np.float32]:
    """Return n z-points of a sampler as float32, (n, z_dim).

    Args:
        fitted: what was fitted to the z-points of the training images.
        sampler: the sampler.
        n: how many.
        seed: the same seed means the same noise in all samplers but gmm's choice of a component.
        temperature: factor on the distance from the sampler's centre, `centre_of`: 1 draws what
            was fitted, less keeps to the middle, where faces are plainer.
    """
    match sampler:
        case "normal":
            points = draw_normal(n, len(fitted.gaussian.mean), seed)
        case "gaussian":
            points = draw_gaussian(fitted.gaussian, n, seed)
        case "gmm":
            points = draw_mixture(fitted.mixture, n, seed)
        case "ellipse":
            points = draw_ellipse(fitted.ellipse, n, seed)
    if temperature == 1:
        return points
    centre = centre_of(fitted, sampler)
    return (centre + temperature * (points - centre)).astype(np.float32)


def centre_of(fitted: FittedSamplers, sampler: Sampler) -> Floats:
    """Return the point that temperature scales a sampler about: 0, or the centre of the cloud."""
    mean = fitted.gaussian.mean
    return np.zeros_like(mean) if sampler == "normal" else mean


def sampler_arrays(fitted: FittedSamplers) -> dict[str, NDArray[Any]]:
    """Return fitted samplers as plain arrays by name: the content of SAMPLERS_FILE."""
    arrays: dict[str, NDArray[Any]] = {
        f"{group}_{name}": values
        for group in ("gaussian", "mixture", "ellipse")
        for name, values in vars(getattr(fitted, group)).items()
    }
    best = np.array(SAMPLERS.index(fitted.best))
    return arrays | {"temperatures": fitted.temperatures, "best": best}


def load_samplers(path: Path, *, z_dim: int) -> FittedSamplers:
    """Read SAMPLERS_FILE, see `sampler_arrays`, for a model of z_dim dimensions.

    Raises:
        UserError: there is no such file, or it does not hold samplers of z_dim dimensions.
    """
    read = read_arrays(path, fix=_FIX)
    components = read["mixture_weights"].size if "mixture_weights" in read else 0
    square, row, table = (z_dim, z_dim), (z_dim,), (components, z_dim)
    expected: dict[str, tuple[int, ...]] = {
        "gaussian_mean": row,
        "gaussian_root": square,
        "mixture_weights": (components,),
        "mixture_means": table,
        "mixture_deviations": table,
        "mixture_axes": square,
        "ellipse_mean": row,
        "ellipse_deviations": row,
        "ellipse_axes": square,
        "temperatures": (len(SAMPLERS),),
        "best": (),
    }
    if {*read} != {*expected}:
        raise UserError(f"{path}: holds no fitted samplers; {_FIX}")
    for name, shape in expected.items():
        values = read[name]
        if values.shape != shape:
            raise UserError(
                f"{path}: {name} has shape {values.shape}, but a model of {z_dim} dimensions "
                f"needs {shape}; is it of another model?"
            )
        if values.dtype.kind != ("i" if name == "best" else "f"):
            raise UserError(f"{path}: {name} holds {values.dtype}, not numbers; {_FIX}")
        fault = _fault(name, values)
        if fault:
            raise UserError(f"{path}: {name} {fault}; {_FIX}")
    of: dict[str, dict[str, Floats]] = {"gaussian": {}, "mixture": {}, "ellipse": {}}
    for name, values in read.items():
        group, _, field = name.partition("_")
        if field:
            of[group][field] = values.astype(np.float64)
    return FittedSamplers(
        Gaussian(**of["gaussian"]),
        Mixture(**of["mixture"]),
        Ellipse(**of["ellipse"]),
        temperatures=read["temperatures"].astype(np.float64),
        best=SAMPLERS[int(read["best"])],
    )


def _fault(name: str, values: NDArray[Any]) -> str:
    """Return what is impossible in an array of SAMPLERS_FILE, nothing where all is possible."""
    # Beyond _FARTHEST float32, in which z-points are decoded, comes near its end.
    if not (np.abs(values) <= _FARTHEST).all():
        return f"holds values that are not finite, or beyond {_FARTHEST:g}"
    match name.rpartition("_")[2]:
        case "weights" if not values.size or values.min() < 0 or abs(values.sum() - 1) > _ROUNDING:
            return "must hold shares of at least one component, with the sum 1"
        case "deviations" if values.min() < 0:
            return "holds values below 0"
        case "axes" if np.abs(np.linalg.norm(values, axis=0) - 1).max() > _ROUNDING:
            return "holds axes that are not of length 1"
        case "root" if np.abs(values - values.T).max() > _ROUNDING * np.abs(values).max():
            return "is not symmetric"
        case "root" if np.diagonal(values).min() < 0:
            return "holds deviations below 0"
        case "temperatures" if values.min() <= 0:
            return "holds values that are not above 0"
        case "best" if not 0 <= values < len(SAMPLERS):
            return f"must be from 0 to {len(SAMPLERS) - 1}"
    return ""


def _noise(n: int, z_dim: int, seed: int) -> Floats:
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal((n, z_dim))


def _uniform(n: int, seed: int) -> Floats:
    # A stream of its own, or the choice of a component would hang on the noise within it.
    key = np.random.SeedSequence((seed, 1))
    return np.random.Generator(np.random.Philox(key)).random(n)
