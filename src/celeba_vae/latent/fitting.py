"""Fitting of the samplers to the training z-points, and choice among them on validation."""

import itertools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.distances import (
    ENERGY_POINTS,
    energy_distance,
    energy_distances_of_scaled,
    subsample,
)
from celeba_vae.latent.samplers import (
    SAMPLERS,
    Ellipse,
    FittedSamplers,
    Gaussian,
    Mixture,
    centre_of,
    draw,
)
from celeba_vae.params import Sampler
from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.threads import threaded_map

# Numbers of components that are tried, and the fewest points that a component may stand for: one
# that sits on a single training image would draw copies of it.
MIXTURE_COMPONENTS = (1, 2, 4, 8, 16, 32)
MIXTURE_SHARE = 20
MIXTURE_POINTS = 32_768

# Temperatures that are tried: 0.7 to 1.3.
TEMPERATURES = np.arange(28, 53) / 40


def fit_gaussian(z: Cloud) -> Gaussian:
    """Return the Gaussian with centre and covariance of a cloud.

    The maximum-likelihood fit; fewer points than dimensions and constant dimensions are fine.
    """
    values, axes = z.eigenvectors
    deviations = np.sqrt(np.clip(values, 0, None))
    return Gaussian(mean=z.mean, root=(axes * deviations) @ axes.T)


def fit_ellipse(gaussian: Gaussian) -> Ellipse:
    """Return centre and principal axes, widest first, of a cloud with that Gaussian."""
    values, axes = np.linalg.eigh(gaussian.root)
    axes, deviations = axes[:, ::-1], np.clip(values[::-1], 0, None)
    # An axis has two directions: the one whose largest component is positive.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(len(axes))])
    return Ellipse(mean=gaussian.mean, deviations=deviations, axes=axes)


def fit_mixture(
    z: Cloud, validation: Cloud, ellipse: Ellipse, *, seed: int
) -> tuple[Mixture, list[dict[str, Any]]]:
    """Fit mixtures of normal distributions and return the one that suits held-out points best.

    Full covariances have z_dim^2 / 2 parameters a component, far too many for some thousand
    points. So the ellipsoids lie along common axes: those of z itself, where the KL loss leaves
    the dimensions nearly independent, or the principal axes, where it does not (a plain
    autoencoder); one component along the latter is the fitted Gaussian. scikit-learn's
    GaussianMixture, on at most MIXTURE_POINTS seeded points.

    Args:
        z: the points to be fitted.
        validation: points that are not fitted: the mean log-likelihood of these points chooses
            the axes and the number of components out of MIXTURE_COMPONENTS.
        ellipse: principal axes of z, see `fit_ellipse`.
        seed: chooses the points and where the fit begins.

    Returns:
        The mixture, and all that were tried: axes ("own" or "principal"), components, how many of
        them were kept because they stand for at least MIXTURE_SHARE points, log_likelihood of the
        validation points (nats per point).
    """
    points = subsample(z.points, count=MIXTURE_POINTS, seed=seed)
    held_out = subsample(validation.points, count=MIXTURE_POINTS, seed=seed)
    axes = {"own": np.eye(z.dimensions), "principal": ellipse.axes}

    def fitted(task: tuple[str, int]) -> tuple[Mixture, dict[str, Any]]:
        name, components = task
        along, held = ((those - ellipse.mean) @ axes[name] for those in (points, held_out))
        std = along.std(axis=0)
        # A flat direction has no likelihood: it counts as very thin. All points may be the same.
        scale = np.maximum(std, 1e-4 * std.max()) if std.max() > 0 else np.ones_like(std)
        mixture = GaussianMixture(
            components, covariance_type="diag", reg_covar=1e-3, max_iter=200, random_state=seed
        ).fit(along / scale)
        _drop_rare(mixture, len(points))
        tried = {
            "axes": name,
            "components": components,
            "kept": len(mixture.weights_),
            "log_likelihood": float(mixture.score(held / scale) - np.log(scale).sum()),
        }
        kept = Mixture(
            weights=mixture.weights_,
            means=ellipse.mean + (mixture.means_ * scale) @ axes[name].T,
            deviations=np.sqrt(mixture.covariances_) * scale,
            axes=axes[name],
        )
        return kept, tried

    most = max(1, len(points) // MIXTURE_SHARE)
    numbers = [components for components in MIXTURE_COMPONENTS if components <= most]
    with warnings.catch_warnings():
        # What did not converge is judged on held-out points like the rest.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = threaded_map(fitted, itertools.product(axes, numbers))
    mixtures, tried = zip(*found, strict=True)
    likelihoods = [each["log_likelihood"] for each in tried]
    return mixtures[int(np.argmax(likelihoods))], list(tried)


def _drop_rare(mixture: GaussianMixture, points: int) -> None:
    """Drop the components that stand for fewer than MIXTURE_SHARE of the points."""
    kept = mixture.weights_ >= min(MIXTURE_SHARE / points, 0.5)  # the only one always stays
    mixture.weights_ = mixture.weights_[kept] / mixture.weights_[kept].sum()
    for name in ("means_", "covariances_", "precisions_cholesky_"):
        setattr(mixture, name, getattr(mixture, name)[kept])


def fit_samplers(
    splits: Mapping[str, Cloud], *, seed: int
) -> tuple[FittedSamplers, dict[str, Any]]:
    """Fit all samplers to train, choose on validation, report on test.

    The measure: the energy distance (see `energy_distance`) of at most ENERGY_POINTS draws from as
    many z-points of the split; the smallest on validation wins, of TEMPERATURES for each sampler,
    and then of the samplers.

    Args:
        splits: z of train, validation and test.
        seed: of the fit, of the draws and of the subsamples.

    Returns:
        The samplers, and, ready for JSON: `mixtures` as from `fit_mixture`; `draws`, how many;
        `validation`: for each sampler its best temperature, the energy distance there and at
        temperature 1, and the curve over all `temperatures`; `floor`, the energy distance of the
        training z-points from the validation z-points, which no sampler can be expected to beat
        by more than chance; `best`, the best sampler, its `temperature`, and
        `test_energy_distance` and `test_floor`, the same two values on test.
    """
    gaussian = fit_gaussian(splits["train"])
    ellipse = fit_ellipse(gaussian)
    mixture, mixtures = fit_mixture(splits["train"], splits["validation"], ellipse, seed=seed)
    ones = np.ones(len(SAMPLERS))
    fitted = FittedSamplers(gaussian, mixture, ellipse, temperatures=ones, best="normal")

    points = {
        name: subsample(cloud.points, count=ENERGY_POINTS, seed=seed)
        for name, cloud in splits.items()
    }
    curves = {
        name: _over_temperatures(fitted, name, points["validation"], seed=seed) for name in SAMPLERS
    }
    at_one = int(np.flatnonzero(TEMPERATURES == 1)[0])
    lowest = {name: int(curve.argmin()) for name, curve in curves.items()}
    best: Sampler = min(SAMPLERS, key=lambda name: curves[name].min())
    temperatures = TEMPERATURES[[lowest[name] for name in SAMPLERS]]
    fitted = FittedSamplers(gaussian, mixture, ellipse, temperatures=temperatures, best=best)
    name, temperature = fitted.chosen(None, None)
    drawn = draw(fitted, name, ENERGY_POINTS, seed=seed, temperature=temperature)
    return fitted, {
        "mixtures": mixtures,
        "draws": ENERGY_POINTS,
        "temperatures": TEMPERATURES.tolist(),
        "validation": {
            name: {
                "temperature": float(TEMPERATURES[lowest[name]]),
                "energy_distance": float(curve.min()),
                "energy_distance_at_1": float(curve[at_one]),
                "curve": curve.tolist(),
            }
            for name, curve in curves.items()
        },
        "floor": energy_distance(points["train"], points["validation"]),
        "best": best,
        "temperature": temperature,
        "test_energy_distance": energy_distance(drawn.astype(np.float64), points["test"]),
        "test_floor": energy_distance(points["train"], points["test"]),
    }


def _over_temperatures(
    fitted: FittedSamplers, name: Sampler, points: Floats, *, seed: int
) -> Floats:
    draws = draw(fitted, name, ENERGY_POINTS, seed=seed, temperature=1).astype(np.float64)
    return energy_distances_of_scaled(draws, centre_of(fitted, name), TEMPERATURES, points)
