"""Every file of data/: the reference page, and the rules by which a test holds it to a run."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from docs.generator.stages import read_stages

_FACTOR = re.compile(r"^    (?P<name>\w+): \w+(  # (?P<about>.+))?$", re.MULTILINE)

# Groups of zpoints.schema.json that several keys share, as the page names them.
_SHARED = {"split": "SPLIT", "cloud": "CLOUD", "sampler": "SAMPLER"}

_WORDS = re.compile(r"\b[A-Z][A-Z_]+\b")


@dataclass(frozen=True)
class Array:
    """An array in a file: its dtype, its shape in words and numbers, and what it holds."""

    dtype: str
    shape: tuple[str | int, ...]
    about: str


@dataclass(frozen=True)
class File:
    """What is known about the files of one name.

    Attributes:
        path: below the top of the project; `{...}` stands for any word.
        about: what it is.
        when: the condition on which there is one, or "".
        array: what a .npy file holds.
        arrays: what an .npz file holds, by name.
        columns: the columns of a table in their order, with what each holds.
        keys: the keys of a JSON file, with what each holds; inner keys behind a dot.
    """

    path: str
    about: str
    when: str
    array: Array | None
    arrays: dict[str, Array]
    columns: dict[str, str]
    keys: dict[str, str]


def read_files(root: Path) -> list[File]:
    """Return all files of data/ in the order of the page."""
    text = (root / "docs/reference/files.yaml").read_text(encoding="utf-8")
    return [
        File(
            path=f"{folder}/{name}",
            about=entry["about"],
            when=entry.get("when", ""),
            array=_array(entry["array"]) if "array" in entry else None,
            arrays={key: _array(value) for key, value in entry.get("arrays", {}).items()},
            columns=entry.get("columns", {}),
            keys=entry.get("keys", {}),
        )
        for folder, files in yaml.safe_load(text).items()
        for name, entry in files.items()
    ]


def matches(pattern: str, name: str) -> bool:
    """Say whether a name is one of those that a pattern such as `{split}_mu.npy` stands for."""
    parts = re.split(r"\{\w+\}", pattern)
    return re.fullmatch(r".+".join(map(re.escape, parts)), name) is not None


def find(pattern_of: list[str], name: str) -> str | None:
    """Return the pattern of a name: its very name, or else the first that stands for it."""
    exact = [pattern for pattern in pattern_of if pattern == name]
    return next(iter(exact or (p for p in pattern_of if matches(p, name))), None)


def make_files(root: Path) -> str:
    """Return the reference of all files of data/ as Markdown, a section for each folder."""
    writers = {path: stage.name for stage in read_stages(root) for path in stage.outs}
    lines: list[str] = []
    folder = ""
    for file in read_files(root):
        path = Path(file.path)
        top = "/".join(path.parts[:2]) if len(path.parts) > 2 else "data"
        if top != folder:
            folder = top
            lines += [f"## {folder}/", ""]
            if folder in writers:
                stage = writers[folder]
                lines += [f"Written by the stage [{stage}](stages.md#{stage}).", ""]
        lines += [f"### `{_shown(file.path.removeprefix(f'{folder}/'))}`", "", file.about]
        lines += [f"Only where: {file.when}."] if file.when else []
        lines += [""]
        if file.array:
            lines += [f"- {_described(file.array)}"]
        lines += [f"- `{name}`: {_described(array)}" for name, array in file.arrays.items()]
        for name, about in (file.columns | file.keys).items():
            lines += [f"- `{_shown(name)}`: {about}"] if name != "{any}" else []
        lines += [""]
    return "\n".join(lines)


def make_factors(root: Path) -> str:
    """Return the factors of drawn faces as Markdown, from the comments of their class."""
    text = (root / "src/celeba_vae/faces/factors.py").read_text(encoding="utf-8")
    words = dict(re.findall(r"^([A-Z_]+) = \((.+)\)$", text, re.MULTILINE))
    body = text[text.index("class Factors:") : text.index("FACTOR_NAMES")]

    def values(found: re.Match[str]) -> str:
        return words[found[0]].replace('"', "") if found[0] in words else found[0]

    return "\n".join(
        f"- `{found['name']}`: {_WORDS.sub(values, found['about'] or 'yes or no')}"
        for found in _FACTOR.finditer(body)
    )


def make_zpoints_json(root: Path) -> str:
    """Return all keys of zpoints.json as Markdown, from its JSON Schema."""
    path = root / "src/celeba_vae/zpoints/zpoints.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    lines: list[str] = []
    group = None
    for key, about in _schema_keys(schema, schema["$defs"], ""):
        place, _, name = key.rpartition(".")
        if place != group:
            group = place
            lines += ["", f"In `{place}`:" if place else "At the top:", ""]
        lines += [f"- `{name}`: {about}"]
    return "\n".join(lines)


def _schema_keys(node: Any, definitions: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the keys that hold values, with their descriptions; equal groups once."""
    described: set[str] = set()
    for name, child in node.get("properties", {}).items():
        shared = child.get("$ref", "").rpartition("/")[2]
        if shared and shared in described:
            continue
        described.add(shared)
        inner = definitions[shared] if shared else child
        key = f"{place}.{_SHARED.get(shared, name)}".removeprefix(".")
        if "properties" in inner.get("items", {}):
            inner, key = inner["items"], f"{key}[]"
        if "properties" in inner:
            yield from _schema_keys(inner, definitions, key)
        else:
            yield key, inner["description"]


def _array(entry: list[Any]) -> Array:
    dtype, shape, about = entry
    return Array(dtype, tuple(shape), about)


def _described(array: Array) -> str:
    dtype = "text" if array.dtype == "<U" else f"`{array.dtype}`"
    sizes = ", ".join(map(str, array.shape)) + ("," if len(array.shape) == 1 else "")
    return f"{dtype} ({sizes}): {array.about}" if array.shape else f"{dtype}: {array.about}"


def _shown(pattern: str) -> str:
    """Return a pattern as people write it: `{split}_mu.npy` is SPLIT_mu.npy."""
    return re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), pattern)
