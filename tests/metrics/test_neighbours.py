import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from celeba_vae.metrics.neighbours import manifold_scores, nearest, squared_distances


def cloud(count: int, dimensions: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_distances_are_those_of_all_pairs(n: int, m: int, dimensions: int) -> None:
    one, other = cloud(n, dimensions), 100 + cloud(m, dimensions, seed=1)
    assert np.allclose(squared_distances(one, other), cdist(one, other) ** 2, rtol=1e-6)
    # Exactly, not but for rounding: what divides by it, or counts, must tell the same points.
    own = squared_distances(one / 3, one / 3)
    assert (np.diag(own) == 0).all()
    assert (own >= 0).all()


def test_balls_on_a_line() -> None:
    # Each real point's nearest other is 1 away, but 10's is 8 away.
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    drawn = np.array([[0.5], [17.0], [30.0], [31.0]])
    scores = manifold_scores(real, drawn, neighbours=1)
    # 0.5 lies in the balls of 0 and 1, 17 in that of 10; 30 and 31 in none.
    assert scores["precision"] == 0.5
    assert scores["density"] == 3 / 4
    assert scores["coverage"] == 3 / 4
    # Radii of the drawn: 16.5, 13, 1, 1: 0.5 reaches all four.
    assert scores["recall"] == 1


def test_points_of_one_distribution_score_as_known() -> None:
    n, k = 1200, 5
    scores = manifold_scores(cloud(n), cloud(n, seed=1), neighbours=k)
    # Naeem et al. 2020: expected density 1, coverage 1 - (n-1)...(n-k) / ((2n-1)...(2n-k)).
    missed = math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    assert scores["density"] == pytest.approx(1, abs=0.1)
    assert scores["coverage"] == pytest.approx(1 - missed, abs=0.02)
    assert scores["precision"] == pytest.approx(scores["recall"], abs=0.05)


def test_a_cloud_elsewhere_and_a_collapsed_one() -> None:
    real = cloud(300)
    assert set(manifold_scores(real, real + 50, neighbours=5).values()) == {0.0}
    same = manifold_scores(real, real, neighbours=5)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    collapsed = manifold_scores(real, 0.05 * cloud(300, seed=1), neighbours=5)
    assert collapsed["precision"] > 0.95
    assert collapsed["recall"] < 0.05


def test_blocks_change_nothing() -> None:
    real, drawn = cloud(700), cloud(650, seed=1)
    forwards = manifold_scores(real, drawn, neighbours=3)
    assert forwards == manifold_scores(real[::-1], drawn[::-1], neighbours=3)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="5 points have no 5 neighbours"):
        manifold_scores(cloud(5), cloud(9), neighbours=5)


def test_the_nearest_is_found_in_any_block() -> None:
    candidates = cloud(50, 12)
    queries = candidates[[49, 3, 20]] + np.float32(0.001)
    for parts in (1, 7):
        distances, rows = nearest(queries, np.array_split(candidates, parts))
        assert rows.tolist() == [49, 3, 20]
        assert np.allclose(distances, 0.001, rtol=1e-2)
    # The first of two equal ones, and a copy is at distance 0.
    distances, rows = nearest(candidates[:1], [candidates, candidates])
    assert rows[0] == 0
    assert distances[0] == pytest.approx(0, abs=1e-6)
