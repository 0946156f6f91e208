import math
import os
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import YAMLFileCorruptedError
from dvc.utils.serialize import parse_yaml as parse_as_dvc_does
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.strict_yaml import parse_yaml, read_yaml
from tests.support import ROOT

COMMITTED = (ROOT / "params.yaml").read_text()
ANCHORS = "anchors, aliases and tags are not allowed"


def message(text: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_yaml(text, name="params.yaml")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def aliases_of_aliases(levels: int) -> str:
    """A text of some lines that stands for nine to the power of `levels` numbers."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(levels):
        lines.append(f"a{level + 1}: &a{level + 1} [{', '.join([f'*a{level}'] * 9)}]")
    return "\n".join([*lines, f"train: *a{levels}"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (aliases_of_aliases(8), f"params.yaml, line 1: {ANCHORS}"),
        ("a: 1\nb: *a", f"params.yaml, line 2: {ANCHORS}"),
        ("b: &a {x: 1}\nc:\n  <<: *a", f"params.yaml, line 1: {ANCHORS}"),
        ("a: !!int 3", f"params.yaml, line 1: {ANCHORS}"),
        ("\n\na: !!python/object:os.system x", f"params.yaml, line 3: {ANCHORS}"),
        ("a: 1\na: 2", "params.yaml, line 2: key 'a' is given twice"),
        ("[1]: 2", "params.yaml, line 1: a key must be a word"),
        ("a: [1\nb: 2", "params.yaml, line 2: expected ',' or ']'"),
        ("a: 1\nb: \x1b[2J", "params.yaml, line 2: special characters are not allowed"),
        ("a: 1\n---\nb: 1", "params.yaml, line 2: but found another document"),
        ("[" * 2000, "params.yaml: is nested too deeply"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(text: str, expected: str) -> None:
    assert message(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-05),
        ("-1.5e3", -1500.0),
        ("7", 7),
        (".inf", math.inf),
        ("true", True),
        ("", None),
        ("~", None),
        *(
            (text, text)
            for text in ("010", ".5e3", "0x10", "1:30", "1:30.5", "1_000", "yes", "2020-01-01")
        ),
        ("9" * 5000, "9" * 5000),
        ("<<", "<<"),
    ],
)
def test_values_are_those_of_both_versions_of_yaml(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}", name="params.yaml")["key"]
    assert (read, type(read)) == (value, type(value))


@settings(max_examples=300, deadline=None)
@example(".0E0")
@given(st.from_regex(r"[-+]?[0-9._]{0,5}([eE:][-+]?[0-9_]{0,3})?|[a-zA-Z~.]{1,5}", fullmatch=True))
def test_a_value_is_what_dvc_reads_or_stays_text(text: str) -> None:
    line = f"key: {text}\n"
    # Where one of the two refuses it, nothing is run with it.
    try:
        own = parse_yaml(line, name="params.yaml")["key"]
    except UserError:
        return
    try:
        of_dvc = parse_as_dvc_does(line, "params.yaml")["key"]
    except (YAMLFileCorruptedError, ValueError):
        return
    assert own in (text, of_dvc) or own is of_dvc is None or str(own) == str(of_dvc) == "nan"


# What a hand, a program or somebody who means ill may write: with names that meet each other.
SCALARS = st.sampled_from(
    ["1", "-2.5", "1e400", "9" * 5000, "true", ".nan", "''", '"\\u001b"', "|\n  a", ">\n", "\x00"]
)
WORDS = st.one_of(
    SCALARS,
    st.sampled_from(["&a ", "*a", "&b ", "*b", "<<", "!!set", "!!binary", "!x", "? ", ": ", "- "]),
    st.sampled_from(
        ["[", "]", "{", "}", ",", "\n", "\n  ", "# x", "---\n", "...\n", "%YAML 1.1\n"]
    ),
    st.sampled_from(["train:", "train: &a", "  epochs: ", "download:\n", "model: *a\n", "[" * 300]),
    st.text(max_size=5),
)
TEXTS = st.one_of(
    st.lists(WORDS, max_size=40).map("".join),
    st.lists(WORDS, max_size=8).map(lambda words: COMMITTED + " ".join(words)),
    st.tuples(st.integers(0, len(COMMITTED)), st.lists(WORDS, max_size=3)).map(
        lambda cut: COMMITTED[: cut[0]] + "".join(cut[1]) + COMMITTED[cut[0] :]
    ),
)


def is_accepted_or_refused_in_one_line(folder: Path, text: str) -> None:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        load_params(path)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_any_parameter_file_is_accepted_or_refused_in_one_line(tmp_path: Path, text: str) -> None:
    is_accepted_or_refused_in_one_line(tmp_path, text)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_many_more_parameter_files_are_too(tmp_path: Path, text: str) -> None:
    is_accepted_or_refused_in_one_line(tmp_path, text)


def test_a_file_that_is_none_or_too_large_is_refused_unread(tmp_path: Path) -> None:
    large, pipe = tmp_path / "large.yaml", tmp_path / "pipe.yaml"
    large.write_text("a: 1\n" * 60_000)
    os.mkfifo(pipe)
    for path, expected in (
        (large, "has 300,000 bytes, allowed are 250,000"),
        (pipe, "no such file"),
        (tmp_path, "no such file"),
        (Path("/dev/zero"), "no such file"),
    ):
        with pytest.raises(UserError, match=expected):
            read_yaml(path)
