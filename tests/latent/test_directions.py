from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.latent.directions import (
    Direction,
    attribute_direction,
    direction_arrays,
    load_directions,
    total_push,
)
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_arrays


def test_a_step_is_one_deviation_along_the_line_between_the_centres() -> None:
    generator = np.random.default_rng(0)
    has = generator.random(20_000) < 0.3
    axis = np.array([3.0, 0.0, -4.0, 0.0]) / 5
    mu = generator.normal(size=(20_000, 4)) + 2 * has[:, None] * axis
    step = attribute_direction(mu, has)
    # Along the axis: noise of variance 1, and twice a coin that falls on one side 0.3 of the time.
    assert np.linalg.norm(step) == pytest.approx(np.sqrt(1 + 4 * 0.3 * 0.7), rel=0.02)
    assert step / np.linalg.norm(step) == pytest.approx(axis, abs=0.03)


def test_correlated_dimensions_move_together() -> None:
    # The second dimension follows the first and adds nothing to a probe: its weight is 0, but a
    # face with more of the first has more of the second.
    generator = np.random.default_rng(1)
    first = generator.normal(size=20_000)
    mu = np.stack([first, 0.5 * first + 0.1 * generator.normal(size=20_000)], axis=1)
    step = attribute_direction(mu, first > 0)
    assert step[1] / step[0] == pytest.approx(0.5, abs=0.01)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_lacking_is_the_opposite_and_steps_scale_with_the_cloud(
    seed: int, scale: float, shift: float
) -> None:
    generator = np.random.default_rng(seed)
    mu = generator.normal(size=(50, 3))
    has = np.arange(50) < generator.integers(1, 50)
    step = attribute_direction(mu, has)
    assert attribute_direction(mu, ~has) == pytest.approx(-step)
    assert attribute_direction(scale * mu + shift, has) == pytest.approx(scale * step, rel=1e-6)


def test_a_collapsed_model_has_steps_of_length_zero() -> None:
    assert not attribute_direction(np.ones((4, 3)), np.array([True, False, True, False])).any()


STEPS = {"Smiling": np.array([0.5, -1.0, 0.25]), "Male": np.array([0.0, 2.0, 1.0])}
AUCS = {"Male": 0.9, "Smiling": 0.75}


def test_directions_come_back_in_stable_bytes(tmp_path: Path) -> None:
    for name in ("one/a.npz", "two.npz"):
        write_arrays(tmp_path / name, direction_arrays(STEPS, AUCS, z_dim=3))
    assert (tmp_path / "one/a.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    loaded = load_directions(tmp_path / "two.npz", z_dim=3)
    assert list(loaded) == ["Smiling", "Male"]
    for name, step in STEPS.items():
        assert loaded[name].step.dtype == np.float32
        assert np.array_equal(loaded[name].step, step)
        assert loaded[name].auc == AUCS[name]
    write_arrays(tmp_path / "none.npz", direction_arrays({}, {}, z_dim=3))
    assert load_directions(tmp_path / "none.npz", z_dim=3) == {}


def test_no_pickle_is_ever_opened(tmp_path: Path) -> None:
    names = np.array(["Smiling"], dtype=object)
    np.savez(tmp_path / "a.npz", attributes=names, steps=np.ones((1, 3)))
    with pytest.raises(UserError, match="is damaged, or not arrays"):
        load_directions(tmp_path / "a.npz", z_dim=3)


WHOLE: dict[str, Any] = {"attributes": ["Male"], "steps": np.ones((1, 3)), "auc": [0.9]}


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        (None, "no such file; `dvc repro attributes` writes it"),
        ({}, "holds no directions, the arrays attributes, steps and auc"),
        (WHOLE | {"steps": np.ones((1, 4))}, "the model has 3 dimensions"),
        (WHOLE | {"steps": np.ones((2, 3))}, "1 attributes and steps of shape"),
        (WHOLE | {"steps": [[1, np.nan, 1]]}, "values that are not finite"),
        (WHOLE | {"attributes": "Male"}, "1 attributes and steps of shape"),
        (WHOLE | {"attributes": [1]}, "holds no directions"),
        (WHOLE | {"steps": [["a", "b", "c"]]}, "holds no directions"),
        (WHOLE | {"auc": ["a"]}, "holds no directions"),
        (WHOLE | {"auc": [0.9, 0.8]}, "1 attributes and steps of shape"),
        (WHOLE | {"auc": [1.1]}, "an AUC that is not from 0 to 1"),
        (WHOLE | {"auc": [np.nan]}, "an AUC that is not from 0 to 1"),
    ],
)
def test_a_wrong_file_gets_one_line(
    tmp_path: Path, arrays: dict[str, Any] | None, expected: str
) -> None:
    path = tmp_path / "directions.npz"
    if arrays is not None:
        np.savez(path, **arrays)
    with pytest.raises(UserError, match=expected) as caught:
        load_directions(path, z_dim=3)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "directions.npz"
    write_arrays(path, direction_arrays(STEPS, AUCS, z_dim=3))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="is damaged"):
        load_directions(path, z_dim=3)


def test_pushes_add_up() -> None:
    known = {name: Direction(STEPS[name].astype(np.float32), AUCS[name]) for name in STEPS}
    push = total_push(known, {"Smiling": 1.0, "Male": -1.0})
    assert push == pytest.approx([0.5, -3.0, -0.75])
    assert push.dtype == np.float32
    with pytest.raises(
        UserError, match=r"Smile: .*; did you mean Smiling\? allowed: Smiling, Male$"
    ):
        total_push(known, {"Male": 1.0, "Smile": 1.0})
    with pytest.raises(UserError, match=r"Q: the model has no direction of it; allowed: Smiling"):
        total_push(known, {"Q": 1.0})
    with pytest.raises(UserError, match=r"has none at all, .* list_attr_celeba\.csv"):
        total_push({}, {"Male": 1.0})
