import math
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from celeba_vae.params import Params, load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.verify.tiny_params import set_params
from tests.support import ROOT, run, succeed

COMMITTED = (ROOT / "params.yaml").read_text()


def write(folder: Path, values: Any) -> Path:
    path = folder / "params.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_params(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_committed_parameters_are_valid_and_synthetic() -> None:
    assert load_params(ROOT / "params.yaml").download.source == "synthetic"


def test_every_key_has_a_comment() -> None:
    values = yaml.safe_load(COMMITTED)
    comments = re.sub(r"(?m)^(  )?- .*\n", "", COMMITTED)
    for group, keys in values.items():
        for key in keys if isinstance(keys, dict) else [group]:
            # Strides and kernel share the comment above filters.
            shared = r"(  (filters|strides):\n)*"
            assert re.search(rf"(?m)^ *# .*\n{shared} *{key}:", comments), f"{group}.{key}"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs=0", "train.epochs = 0: input should be greater than or equal to 1"),
        ("train.epochs=true", "train.epochs = True: input should be a valid integer"),
        ('train.epochs="10"', "train.epochs = '10': input should be a valid integer"),
        ("train.epochs=010", "train.epochs = '010': input should be a valid integer"),
        ("train.epochs=1:30", "train.epochs = '1:30': input should be a valid integer"),
        ("train.epochs=1.0", "train.epochs = 1.0: input should be a valid integer"),
        ("train.learning_rate=fast", "train.learning_rate = 'fast': input should be a valid"),
        ("train.learning_rate=nan", "train.learning_rate = 'nan': input should be a valid"),
        ("train.learning_rate=.inf", "train.learning_rate = inf: input should be a finite"),
        ("train.learning_rate=0", "train.learning_rate = 0: input should be greater than 0"),
        ("train.learning_rate=true", "train.learning_rate = True: input should be a valid"),
        ("model.batch_norm=1", "model.batch_norm = 1: input should be a valid boolean"),
        ("model.batch_norm=yes", "model.batch_norm = 'yes': input should be a valid boolean"),
        ("model.inter_dense=no", "model.inter_dense = 'no': input should be a valid integer"),
        ("model.filters=[]", "model.filters = []: list should have at least 1 item"),
        ("model.filters=[32, x]", "model.filters.1 = 'x': input should be a valid integer"),
        ("model.activation=tanh", "'leaky_relu', 'relu', 'selu' or 'gelu'"),
        ("model.strides=[2]", "model.strides has 1 values, but model.filters has 4"),
        ("threads=", "threads = None: input should be a valid integer"),
        ("prepare.size=97", "prepare.size = 97 is not divisible by 16"),
        ("download.images=15", "download.images = 15 leaves a split with fewer than 2 images"),
        ("train.batch_size=4000", "train.batch_size = 4000 is larger than the training set"),
        ("download.source=local", "download.path is empty"),
        ("download.path=/x", "download.path is given, but download.source is synthetic"),
        ("evaluate.fid=graph.pb", "evaluate.fid: 'graph.pb' is relative"),
        ("evaluate.level=best", "evaluate.level = 'best': input should be 'quick' or 'full'"),
        (
            "evaluate.full.importance_samples=48",
            "full: importance_samples = 48 is not a power of 2",
        ),
        ("train=3", "params.yaml: train = 3: must be a group of keys"),
        ("train.nope=1", "-S train.nope: params.yaml has no such key"),
        ("train.epochs", "must be of the form group.key=value"),
    ],
)
def test_wrong_values_are_named(override: str, expected: str) -> None:
    assert expected in message(ROOT / "params.yaml", override)


def test_relative_path_is_refused_with_the_reason() -> None:
    text = message(ROOT / "params.yaml", "download.source=local", "download.path=faces")
    assert "download.path: 'faces' is relative" in text
    assert "experiments in other folders" in text


def test_wrong_keys_are_named(tmp_path: Path) -> None:
    values = yaml.safe_load(COMMITTED)
    del values["train"]["epochs"]
    assert "train.epochs: missing" in message(write(tmp_path, values))
    values["train"] |= {"epochs": 1, "epoch": 2}
    text = message(write(tmp_path, values))
    assert "train.epoch: unknown key; allowed are epochs, batch_size" in text
    twice = COMMITTED.replace("  epochs: 10\n", "  epochs: 10\n  epochs: 20\n")
    assert "key 'epochs' is given twice" in message(write(tmp_path, twice))
    values = yaml.safe_load(COMMITTED)
    del values["zpoints"]
    assert "zpoints: missing" in message(write(tmp_path, values))


@pytest.mark.parametrize("content", ["", "- 1\n", "train: [", "\tx: 1", "train: 3\n", "\x00"])
def test_what_is_no_parameter_file_is_refused(tmp_path: Path, content: str) -> None:
    assert "params.yaml" in message(write(tmp_path, content))


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in message(tmp_path / "params.yaml")


def leaves(values: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(values, dict):
        return [place]
    return [leaf for key, value in values.items() for leaf in leaves(value, (*place, key))]


VALUES = yaml.safe_load(COMMITTED)
PLACES = leaves(VALUES)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(-3, 3), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_no_parameter_may_be_infinite_or_no_number(place: tuple[str, ...], value: float) -> None:
    for given_value in (value, [value]):
        values = deepcopy(VALUES)
        group = values
        for key in place[:-1]:
            group = group[key]
        group[place[-1]] = given_value
        with pytest.raises(ValidationError):
            Params.model_validate(values)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), value=SCALARS)
def test_any_value_anywhere_is_accepted_or_refused_in_one_line(
    tmp_path: Path, place: tuple[str, ...], value: Any
) -> None:
    values = deepcopy(VALUES)
    group = values
    for key in place[:-1]:
        group = group[key]
    group[place[-1]] = value
    path = write(tmp_path, values)
    try:
        params = load_params(path)
    except UserError as error:
        assert "\n" not in str(error)
        assert place[0] in str(error)
        return
    read: Any = params
    for key in place:
        read = getattr(read, key)
    assert read == value or (isinstance(read, float) and math.isclose(read, float(value)))
    # No value slipped through as another type: 1 is not true, "10" is not 10.
    assert isinstance(read, float) or type(read) is type(value)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=200))
def test_any_text_is_accepted_or_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "lines"),
    [
        ("train.learning_rate=3e-4", ["-  learning_rate: 0.0005", "+  learning_rate: 0.0003"]),
        ("train.learning_rate=1e-5", ["-  learning_rate: 0.0005", "+  learning_rate: 1e-05"]),
        ("model.inter_dense=256", ["-  inter_dense:", "+  inter_dense: 256"]),
    ],
)
def test_dvc_changes_one_line(tmp_path: Path, override: str, lines: list[str]) -> None:
    succeed("git", "init", "-q", cwd=tmp_path)
    write(tmp_path, COMMITTED)
    succeed("git", "add", "params.yaml", cwd=tmp_path)
    set_params(tmp_path, override)
    diff = run("git", "diff", "-U0", cwd=tmp_path).stdout.splitlines()
    assert [line for line in diff if line[0] in "+-" and line[:3] not in ("+++", "---")] == lines
    key, _, value = override.partition("=")
    group, _, name = key.partition(".")
    assert float(getattr(getattr(load_params(tmp_path / "params.yaml"), group), name)) == float(
        value
    )


def test_groups_are_frozen(tiny: Params) -> None:
    with pytest.raises(ValueError, match="frozen"):
        tiny.threads = 3
