import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.latent.disentanglement import (
    BINS,
    FactorScores,
    completeness,
    discretise,
    disentanglement,
    entropy,
    information_gaps,
    mutual_information,
    score_factors,
    weighted,
)

FACTORS, IMAGES, TEST = 6, 3000, 500


def score(mu: np.ndarray, cells: dict[str, np.ndarray]) -> FactorScores:
    """Score all but the last TEST images, and test on those."""
    scores = score_factors(
        mu[:-TEST],
        {name: column[:-TEST] for name, column in cells.items()},
        mu[-TEST:],
        {name: column[-TEST:] for name, column in cells.items()},
    )
    assert scores is not None
    return scores


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Independent factors of ten values each, (IMAGES, FACTORS)."""
    return np.random.default_rng(0).integers(0, 10, (IMAGES, FACTORS)).astype(float)


@pytest.fixture(scope="module")
def cells(truth: np.ndarray) -> dict[str, np.ndarray]:
    """The same as they stand in the index."""
    return {f"f{j}": truth[:, j].astype(int).astype(str) for j in range(FACTORS)}


def test_a_dimension_for_each_factor_scores_one(
    truth: np.ndarray, cells: dict[str, np.ndarray]
) -> None:
    # In another order, scale and sign, with dimensions that hold nothing or noise.
    noise = np.random.default_rng(1).normal(size=(IMAGES, 3))
    mu = np.concatenate([-3 * truth[:, ::-1] + 7, noise, np.ones((IMAGES, 1))], axis=1)
    scores = score(mu, cells)
    summary = scores.summary()
    assert summary["disentanglement"] == pytest.approx(1, abs=1e-6)
    assert summary["completeness"] == pytest.approx(1, abs=1e-6)
    assert summary["informativeness"] > 0.99
    assert summary["mig"] > 0.98  # less the bias of the second best
    assert scores.information.argmax(axis=1).tolist() == [5, 4, 3, 2, 1, 0]
    assert scores.importances.argmax(axis=1).tolist() == [5, 4, 3, 2, 1, 0]
    assert scores.entropies == pytest.approx(np.log(10), abs=0.01)


def test_a_random_rotation_spoils_it_but_loses_nothing(
    truth: np.ndarray, cells: dict[str, np.ndarray]
) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(FACTORS, FACTORS)))
    summary = score(truth @ rotation, cells).summary()
    assert summary["disentanglement"] < 0.6
    assert summary["completeness"] < 0.6
    assert summary["mig"] < 0.3
    assert summary["informativeness"] > 0.95


def test_noise_scores_zero(cells: dict[str, np.ndarray]) -> None:
    for seed in range(5):
        mu = np.random.default_rng(seed + 10).normal(size=(IMAGES, 64))
        summary = score(mu, cells).summary()
        assert summary["disentanglement"] == 0
        assert summary["completeness"] == 0
        assert abs(summary["informativeness"]) < 0.01
        assert summary["mig"] < 0.01


def test_words_and_numbers_are_known_alike() -> None:
    generator = np.random.default_rng(3)
    words = generator.choice(["none", "round", "square"], IMAGES, p=[0.6, 0.2, 0.2])
    numbers = generator.uniform(-1, 1, IMAGES)
    mu = np.stack([words == "round", words == "square", numbers], axis=1).astype(float)
    cells = {
        "glasses": words,
        "smile": np.char.mod("%.4f", numbers),
        "never": np.full(IMAGES, "no"),
    }
    scores = score(mu, cells)
    assert scores.names == ("glasses", "smile")
    assert scores.informativeness == pytest.approx([1, 1], abs=0.02)
    assert (scores.importances[0, 2], *scores.importances[1, :2]) == (0, 0, 0)
    # The two dimensions of glasses share the factor, so it is known, but by no single one.
    assert disentanglement(scores.importances) == pytest.approx([1, 1, 1])
    assert completeness(scores.importances)[0] < 0.6
    assert scores.gaps[0] < 0.05
    assert scores.gaps[1] > 0.95


def test_without_factors_there_are_no_scores() -> None:
    mu = np.random.default_rng(4).normal(size=(20, 3))
    constant = np.full(20, "1.0")
    assert score_factors(mu, {}, mu, {}) is None
    assert score_factors(mu, {"a": constant}, mu, {"a": constant}) is None


def test_words_that_only_test_has_are_not_predicted() -> None:
    mu = np.random.default_rng(0).normal(size=(8, 1))
    train = {"hat": np.array(["cap", "none"] * 4)}
    test = {"hat": np.array(["bonnet", "veil"] * 4)}
    scores = score_factors(mu, train, mu, test)
    assert scores is not None
    assert scores.informativeness.tolist() == [0]
    assert all(np.isfinite(value) for value in scores.summary().values())


@pytest.mark.filterwarnings("error")
def test_one_dimension_and_one_number_have_scores() -> None:
    mu = np.random.default_rng(0).normal(size=(8, 1))
    known = {"yaw": np.array([f"{value:.4f}" for value in mu[:, 0]])}
    scores = score_factors(mu, known, mu, known)
    assert scores is not None
    assert 0 < scores.informativeness[0] < 1


def test_scores_of_given_importances() -> None:
    importances = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]])
    half = 1 - np.log(2) / np.log(3)
    assert disentanglement(importances) == pytest.approx([1, 1, half, 0])
    assert completeness(importances) == pytest.approx([1, 0.5, 1])
    assert weighted(np.array([1.0, 0.0]), np.array([3.0, 1.0])) == 0.75
    assert weighted(np.ones(2), np.zeros(2)) == 0


def test_gaps_of_given_information() -> None:
    information = np.array([[0.1, 0.6, 0.2], [0.0, 0.0, 0.0]])
    assert information_gaps(information, np.array([0.8, 1.0])) == pytest.approx([0.5, 0])
    assert information_gaps(information[:, 1:2], np.array([0.6, 1.0])) == pytest.approx([1, 0])


def test_mutual_information_of_known_tables() -> None:
    a, b = np.repeat([0, 1], 50), np.tile([0, 1], 50)
    assert mutual_information(a, b) == pytest.approx(0, abs=1e-12)
    assert mutual_information(a, a) == pytest.approx(np.log(2))
    assert entropy(np.array([0, 0, 0, 2])) == pytest.approx(0.25 * np.log(4) + 0.75 * np.log(4 / 3))


def test_mutual_information_of_correlated_normals_is_that_of_the_formula() -> None:
    generator = np.random.default_rng(5)
    x, e = generator.normal(size=(2, 100_000))
    y = 0.8 * x + 0.6 * e
    measured = mutual_information(discretise(x), discretise(y))
    # Bins lose a little of -ln(1 - r^2) / 2.
    assert measured == pytest.approx(-0.5 * np.log(1 - 0.64), abs=0.03)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_bins_keep_the_order_and_are_few(values: list[float]) -> None:
    column = np.array(values)
    codes = discretise(column)
    order = np.argsort(column, kind="stable")
    assert (np.diff(codes[order]) >= 0).all()
    assert codes.min() >= 0
    assert codes.max() < BINS
    if len(np.unique(column)) <= BINS:
        assert len(np.unique(codes)) == len(np.unique(column))
