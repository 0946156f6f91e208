import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.fitting import (
    TEMPERATURES,
    fit_ellipse,
    fit_gaussian,
    fit_mixture,
    fit_samplers,
)
from celeba_vae.latent.samplers import SAMPLERS, Mixture, draw_mixture


def _three_clouds(images: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.array([[6.0, 0, 0, 0], [-3, 5, 0, 0], [-3, -5, 0, 0]])
    return centres[rng.integers(0, 3, images)] + rng.standard_normal((images, 4))


def _correlated(images: int, seed: int) -> np.ndarray:
    mixing = np.random.default_rng(0).normal(size=(6, 6))
    return 4 + np.random.default_rng(seed).standard_normal((images, 6)) @ mixing


def _mixture(train: np.ndarray, validation: np.ndarray) -> tuple[Mixture, list[dict[str, Any]]]:
    cloud = Cloud(train)
    return fit_mixture(cloud, Cloud(validation), fit_ellipse(fit_gaussian(cloud)), seed=1)


def test_a_mixture_of_three_clouds_is_found() -> None:
    train, validation = _three_clouds(1500, 1), _three_clouds(400, 2)
    mixture, tried = _mixture(train, validation)
    # Three is not tried: four describe it best, and much better than the two below.
    best = max(tried, key=lambda each: each["log_likelihood"])
    assert best["components"] == best["kept"] == len(mixture.weights) == 4
    for centre in ([6, 0, 0, 0], [-3, 5, 0, 0], [-3, -5, 0, 0]):
        nearest = np.abs(mixture.means - centre).max(axis=1).min()
        assert nearest < 0.5
    drawn = draw_mixture(mixture, 20_000, seed=3)
    assert drawn.mean(axis=0) == pytest.approx(train.mean(axis=0), abs=0.15)
    assert np.cov(drawn, rowvar=False) == pytest.approx(np.cov(train, rowvar=False), abs=0.7)


def test_its_likelihoods_are_those_of_the_density() -> None:
    train, validation = _correlated(800, 1), _correlated(300, 2)
    gaussian = fit_gaussian(Cloud(train))
    _, tried = _mixture(train, validation)
    one = {each["axes"]: each["log_likelihood"] for each in tried if each["components"] == 1}
    full = stats.multivariate_normal(gaussian.mean, gaussian.root @ gaussian.root)
    assert one["principal"] == pytest.approx(full.logpdf(validation).mean(), abs=0.01)
    apart = stats.norm(gaussian.mean, train.std(axis=0))
    assert one["own"] == pytest.approx(apart.logpdf(validation).sum(axis=1).mean(), abs=0.01)


def test_the_axes_follow_the_correlations() -> None:
    train, validation = _correlated(2000, 1), _correlated(500, 2)
    mixture, _ = _mixture(train, validation)
    assert np.abs(mixture.axes - np.eye(6)).max() > 0.1
    rng = np.random.default_rng(3)
    train, validation = rng.normal(size=(2000, 30)), rng.normal(size=(500, 30))
    mixture, _ = _mixture(train, validation)
    assert np.array_equal(mixture.axes, np.eye(30))


def test_no_component_stands_for_a_few_outliers() -> None:
    train = _three_clouds(1500, 1)
    train[:2] = [[40, 40, 0, 0], [40, -40, 0, 0]]
    # Held-out points that have the outliers too: the likelihood alone would keep their components.
    mixture, tried = _mixture(train, train)
    assert any(each["kept"] < each["components"] for each in tried)
    assert mixture.weights.min() * len(train) >= 20
    assert mixture.weights.sum() == pytest.approx(1)
    assert np.abs(mixture.means).max() < 20


@pytest.mark.parametrize("images", [2, 5, 60])
def test_few_images_and_constant_dimensions_have_a_mixture(images: int) -> None:
    train = np.random.default_rng(4).normal(size=(images, 8))
    train[:, 3] = 0.1
    mixture, tried = _mixture(train, train[:1])
    assert max(each["components"] for each in tried) == max(1, images // 20 // 2 * 2)
    drawn = draw_mixture(mixture, 100, seed=1)
    assert np.isfinite(drawn).all()
    assert np.abs(drawn[:, 3] - 0.1).max() < 0.01


def test_images_that_are_all_the_same_have_samplers() -> None:
    same = Cloud(np.full((40, 3), 0.5, np.float32))
    fitted, choice = fit_samplers({"train": same, "validation": same, "test": same}, seed=1)
    assert choice["best"] != "normal"
    assert np.isfinite(fitted.mixture.deviations).all()


def test_choice_is_made_on_validation_and_reported_on_test() -> None:
    # Far from the origin and stretched: N(0, I) is nowhere near.
    names = ("train", "validation", "test")
    splits = {name: Cloud(_correlated(600, seed)) for seed, name in enumerate(names, 1)}
    fitted, choice = fit_samplers(splits, seed=1)
    json.dumps(choice)
    assert list(choice["validation"]) == list(SAMPLERS)
    found = choice["validation"]
    for place, name in enumerate(SAMPLERS):
        curve = found[name]["curve"]
        assert len(curve) == len(choice["temperatures"]) == len(TEMPERATURES)
        assert found[name]["energy_distance"] == min(curve) <= found[name]["energy_distance_at_1"]
        assert fitted.temperatures[place] == found[name]["temperature"]
    assert choice["best"] == fitted.best == min(found, key=lambda n: found[n]["energy_distance"])
    assert choice["temperature"] == found[choice["best"]]["temperature"]
    assert found["normal"]["energy_distance"] > 10 * found["gaussian"]["energy_distance"]
    assert found["gaussian"]["temperature"] == pytest.approx(1, abs=0.06)
    # Cut off at its ellipses, it needs 1 / sqrt(0.842) to have the cloud's variance.
    assert found["ellipse"]["temperature"] == pytest.approx(1.09, abs=0.06)
    assert choice["test_energy_distance"] < 0.1 * found["normal"]["energy_distance"]

    changed = splits | {"test": Cloud(splits["test"].points + 3)}
    again = fit_samplers(changed, seed=1)[1]
    assert again["validation"] == found
    assert again["test_energy_distance"] > choice["test_energy_distance"]
    assert fit_samplers(splits, seed=1)[1] == choice


def test_a_cloud_of_the_prior_is_matched_by_the_prior() -> None:
    rng = np.random.default_rng(5)
    splits = {name: Cloud(rng.normal(size=(800, 10))) for name in ("train", "validation", "test")}
    _, choice = fit_samplers(splits, seed=1)
    found = choice["validation"]["normal"]
    assert found["temperature"] == pytest.approx(1, abs=0.051)
    assert found["energy_distance"] == pytest.approx(choice["floor"], abs=0.02)
