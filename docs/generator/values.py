"""Values on pages: numbers and words that come from committed JSON and YAML, never typed by hand.

A page says {value}`train.val_kl .1f`: a key, and after a space a format of Python's. The first
part names the file, whose keys follow: `train`, `zpoints`, `generate`, `attributes` and
`evaluate` are `data/metrics/*.json`, `machine` is `data/machine.json`, and any other name is
`docs/results/NAME.yaml`, which holds what was measured by hand.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

METRICS = ("train", "zpoints", "generate", "attributes", "evaluate")

# What docs/results/NAME.yaml says of itself, beside `values`.
DESCRIPTION = ("date", "machine", "commit", "command")

_VALUE = re.compile(r"\{value\}`(?P<key>[^`\s]+)(?: (?P<format>[^`]+))?`")


class MissingValueError(Exception):
    """A page asks for a value that its file does not hold, or in a format that does not fit it."""


def substitute(text: str, root: Path) -> str:
    """Return a page with every {value}`key format` replaced.

    Args:
        text: the Markdown.
        root: the top of the project.

    Raises:
        MissingValueError: no such file or key, or a format that does not fit the value.
    """
    return _VALUE.sub(lambda found: show(found["key"], found["format"] or "", root), text)


def show(key: str, form: str, root: Path) -> str:
    """Return one value as text, with a minus sign where it is negative."""
    name, *keys = key.split(".")
    value: Any = read(name, root)
    if name not in (*METRICS, "machine") and keys and keys[0] not in DESCRIPTION:
        keys = ["values", *keys]
    for part in keys:
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise MissingValueError(f"{key}: {_file(name)} has no such key") from None
    if isinstance(value, dict | list) or value is None:
        raise MissingValueError(f"{key}: is not a single value in {_file(name)}")
    try:
        return format(value, form).replace("-", "\N{MINUS SIGN}", 1 if _negative(value) else 0)
    except ValueError as error:
        raise MissingValueError(f"{key}: {value!r} in the format {form!r}: {error}") from None


@cache
def read(name: str, root: Path) -> dict[str, Any]:
    """Return what a file of values holds, by its name on pages."""
    path = root / _file(name)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingValueError(f"{name}: there is no {_file(name)}") from None
    values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    return dict(values)


def _file(name: str) -> str:
    if name in METRICS:
        return f"data/metrics/{name}.json"
    return "data/machine.json" if name == "machine" else f"docs/results/{name}.yaml"


def _negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0
