"""The pages made from parameters, commands, stages and docstrings say all that there is."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest
import yaml

from celeba_vae.cli.program import cli
from docs.generator.pages import MAKERS, expand
from docs.generator.parameters import CHECKED_BY_FUNCTION, allowed, make_parameters, read_entries
from docs.generator.stages import read_stages
from tests.support import ROOT

PARAMS = (ROOT / "params.yaml").read_text()


def leaves(values: Any, place: str = "") -> Iterator[str]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, f"{place}.{key}".removeprefix("."))
    else:
        yield place


def test_every_parameter_has_its_comment_default_and_range() -> None:
    entries = read_entries(PARAMS)
    named = [key for entry in entries for key in entry.keys]
    assert named == list(leaves(yaml.safe_load(PARAMS)))
    assert all(entry.comment and entry.keys for entry in entries)
    page = make_parameters(ROOT)
    for key in named:
        assert f"`{key}`" in page or f"## {key}" in page
        assert f"allowed: {allowed(key)}." in page
    assert "Default `96`; allowed: a whole number from 8 to 1,024." in page
    assert "Default `0.0005`; allowed: a number above 0 up to 1,000,000." in page
    assert "Empty by default; allowed: a whole number from 1 to 16,384, or empty." in page
    assert "`model.kernel`: default `3`; allowed: a whole number from 1 to 15." in page
    assert "Default `tensorflow`; allowed: `tensorflow` or `jax`." in page


def test_a_comment_belongs_to_the_keys_below_it() -> None:
    text = """# About the file.

group:
  # One.
  a: 1
  # Two,
  # together.
  b:
  - 1
  c: 2
  # Inner.
  d:
    e: 1
    f: 2
# Last.
last: 2
"""
    assert [(entry.comment, entry.keys) for entry in read_entries(text)] == [
        ("One.", ["group.a"]),
        ("Two, together.", ["group.b", "group.c"]),
        ("Inner.", ["group.d.e", "group.d.f"]),
        ("Last.", ["last"]),
    ]


def test_what_a_function_checks_is_as_it_says() -> None:
    from celeba_vae.params import load_params

    for key, values in {
        "prepare.validation": ["0.25", "2", "1000"],
        "train.sigma": ["0.001", "1000", "learned", "optimal"],
    }.items():
        assert key in CHECKED_BY_FUNCTION
        others = {
            "prepare.validation": "prepare.split=drawn",
            "train.sigma": "train.loss=gaussian",
        }
        for value in values:
            test = [f"prepare.test={value}"] if key.startswith("prepare") else []
            load_params(ROOT / "params.yaml", [others[key], f"{key}={value}", *test])


def test_a_change_of_a_parameter_runs_what_reads_it_and_what_follows() -> None:
    page = make_parameters(ROOT)
    sections = dict(re.findall(r"^## (\w+)\n\n(.+)$", page, re.MULTILINE))
    names = {group: re.findall(r"\[(\w+)\]", line) for group, line in sections.items()}
    computing = ["zpoints", "generate", "attributes", "evaluate", "report"]
    assert names["prepare"] == ["prepare", "train", *computing]
    assert names["model"] == ["train", *computing]
    assert names["generate"] == ["generate", "report"]
    assert names["run"] == []


def test_every_command_and_option_is_on_the_page() -> None:
    page = MAKERS["cli"](ROOT)
    for name, command in cli.commands.items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert f"celeba-vae {name}" in section
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert re.search(rf"^`[^`]*{parameter.opts[-1]}\b", section, re.MULTILINE)
    assert "Default `6`. A number from 1 to 100." in page
    assert "Without it 8, in an animation 30. A number from 2 to 100." in page


def test_every_stage_is_on_the_page() -> None:
    page = MAKERS["stages"](ROOT)
    stages = read_stages(ROOT)
    assert [stage.name for stage in stages] == re.findall(r"^## (\w+)$", page, re.MULTILINE)
    for stage in stages:
        for path in (*stage.data, *stage.code, *stage.outs, *stage.metrics):
            assert f"`{path}`" in page
    assert stages[-1].before == {stage.name for stage in stages[:-1]}
    assert stages[0].before == frozenset()


def test_every_name_of_the_python_page_is_there() -> None:
    page = (ROOT / "docs/reference/python.md").read_text()
    names = re.findall(r"^\.\. auto\w+:: (\S+)$", page, re.MULTILINE)
    assert "celeba_vae.load" in names
    for name in names:
        module, _, last = name.rpartition(".")
        assert getattr(importlib.import_module(module), last).__doc__, name


def test_every_page_can_be_made() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        assert "<!-- made: " not in expand(page.read_text(), ROOT), page
    with pytest.raises(KeyError, match="nothing"):
        expand("<!-- made: nothing -->\n", ROOT)
