"""params.py is no dependency of a stage in DVC: so it may hold nothing that makes values."""

import ast
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from celeba_vae import params
from tests.support import ROOT

# What reads params.yaml, and a check that returns nothing.
FUNCTIONS = {"load_params", "check_batch_size"}
PARAMS = "src/celeba_vae/params.py"


def taken_from_params(source: str) -> Iterator[str]:
    """Yield what is imported from params.py; * for the module as a whole."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ("*" for alias in node.names if alias.name == "celeba_vae.params")
        elif isinstance(node, ast.ImportFrom) and node.module == "celeba_vae":
            yield from ("*" for alias in node.names if alias.name == "params")
        elif isinstance(node, ast.ImportFrom) and node.module == "celeba_vae.params":
            yield from (alias.name for alias in node.names)


def is_a_value(name: str) -> bool:
    """Tell whether a name is neither a type nor one of FUNCTIONS."""
    return name not in FUNCTIONS and not (name[0].isupper() and not name.isupper())


@pytest.mark.parametrize("folder", ["src", "stages"])
def test_code_takes_types_from_params_and_no_values(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if path != ROOT / PARAMS]
    assert files
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in taken_from_params(path.read_text(encoding="utf-8"))
        if is_a_value(name)
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("from celeba_vae.params import Params, load_params, check_batch_size", []),
        ("from celeba_vae.params import split_counts", ["split_counts"]),
        ("def f():\n    from celeba_vae.params import OFFICIAL_SPLIT", ["OFFICIAL_SPLIT"]),
        ("import celeba_vae.params as p", ["*"]),
        ("from celeba_vae import params", ["*"]),
        ("from celeba_vae.params import *", ["*"]),
    ],
)
def test_a_value_taken_from_params_is_found(source: str, values: list[str]) -> None:
    assert [name for name in taken_from_params(source) if is_a_value(name)] == values


def test_params_define_no_function_that_makes_values() -> None:
    tree = ast.parse((ROOT / PARAMS).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    public = {name for name in functions if not name.startswith("_")}
    assert public == FUNCTIONS
    check = functions["check_batch_size"]
    assert not any(isinstance(node, ast.Return) for node in ast.walk(check))


def test_groups_of_params_hold_keys_and_nothing_that_is_computed() -> None:
    groups = [
        value
        for name, value in vars(params).items()
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and value.__module__ == params.__name__
        and not name.startswith("_")
    ]
    assert params.Params in groups
    for group in groups:
        own = {name for name in vars(group) if not name.startswith(("_", "model_"))}
        # Pydantic's checks are the only methods, and none of them has a public name.
        assert not own, f"{group.__name__}: {own}"
        assert not group.model_computed_fields, group.__name__


def test_constants_of_params_are_private_but_for_the_file_name() -> None:
    constants = {name for name in vars(params) if name.isupper() and not name.startswith("_")}
    imported = {"ATTRIBUTES"}
    assert constants - imported == {"PARAMS_FILE"}
