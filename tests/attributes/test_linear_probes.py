import numpy as np
import pytest

from celeba_vae.attributes.linear_probes import fit_probes


def test_auc_is_one_where_a_cut_separates_and_half_for_noise() -> None:
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(3000, 8)), generator.normal(size=(3000, 8))
    normal = np.array([1.0, -2, 0, 0, 0, 0, 0, 0.5])

    def has(mu: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        coin = np.random.default_rng(seed).random(len(mu)) < 0.2
        return {
            "cut": mu @ normal > 1,
            "noise": coin,
            "rare": np.arange(len(mu)) < 4,
            "all": np.full(len(mu), True),
        }

    # A shifted and stretched cloud is standardised first.
    scale, shift = np.logspace(-3, 3, 8), 5.0
    probes = fit_probes(
        train * scale + shift, has(train, 1), test * scale + shift, has(test, 2), min_images=5
    )
    cut, noise, rare, every = probes
    assert cut.auc == pytest.approx(1, abs=1e-3)
    assert noise.auc == pytest.approx(0.5, abs=0.05)
    assert noise.base_rate == pytest.approx(0.2, abs=0.03)
    assert noise.positives + noise.negatives == 3000
    assert (rare.auc, rare.left_out) == (None, "4 images of train have it, fewer than 5")
    assert (every.auc, every.left_out) == (None, "0 images of train lack it, fewer than 5")


def test_auc_of_two_normal_clouds_is_that_of_the_formula() -> None:
    # With centres d apart, AUC = Phi(d / sqrt 2); 0.9214 for d = 2.
    generator = np.random.default_rng(3)

    def cloud() -> tuple[np.ndarray, dict[str, np.ndarray]]:
        has = generator.random(20_000) < 0.3
        mu = generator.normal(size=(20_000, 2))
        mu[:, 1] += 2 * has
        return mu, {"a": has}

    (probe,) = fit_probes(*cloud(), *cloud(), min_images=10)
    assert probe.auc == pytest.approx(0.9214, abs=0.005)
