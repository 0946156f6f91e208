"""Every parameter: name, default and comment from params.yaml, what is allowed from params.py."""

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt

from celeba_vae.params import Params
from docs.generator.stages import Stage, read_stages

# What is checked by a function of params.py has no type that could be read.
CHECKED_BY_FUNCTION = {
    "prepare.validation": "a fraction between 0 and 1, or a number of images from 2",
    "prepare.test": "a fraction between 0 and 1, or a number of images from 2",
    "train.sigma": "a number from 0.001 to 1,000, `learned` or `optimal`",
}

_KEY = re.compile(r"(?P<indent> *)(?P<name>\w+):")


@dataclass(frozen=True)
class Entry:
    """One comment of params.yaml and the keys below it, which it describes together.

    Attributes:
        comment: its text in one line.
        keys: full names, such as `train.kl_weight`.
    """

    comment: str
    keys: list[str]


def make_parameters(root: Path) -> str:
    """Return the reference of all parameters as Markdown, a section for each group."""
    text = (root / "params.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    entries = read_entries(text)
    known = {key: anchor(entry.keys[0]) for entry in entries for key in entry.keys}
    stages = read_stages(root)
    lines: list[str] = []
    group = ""
    for entry in entries:
        if (name := entry.keys[0].partition(".")[0]) != group:
            group = name
            lines += [f"## {group}", "", _reruns(group, stages), ""]
        if entry.keys[0] != group:
            lines += [f"({anchor(entry.keys[0])})=", ""]
            lines += ["### " + ", ".join(f"`{key}`" for key in entry.keys), ""]
        lines += [_linked(entry.comment, known, entry.keys), ""]
        for key in entry.keys:
            name = f"`{key}`: " if len(entry.keys) > 1 else ""
            text = f"{name}{_default(_value(values, key))}; allowed: {allowed(key)}."
            lines += [f"- {text[0].upper()}{text[1:]}"]
        lines += [""]
    return "\n".join(lines)


def anchor(key: str) -> str:
    """Return the anchor of a parameter on its page: `train.kl_weight` is at train-kl-weight."""
    return key.replace(".", "-").replace("_", "-")


def read_entries(text: str) -> list[Entry]:
    """Return the commented parameters of params.yaml in their order.

    A key without a comment of its own belongs to the comment before, as do the keys of a group
    within a group: `evaluate.quick.images`.
    """
    entries: list[Entry] = []
    place: list[str] = []
    comment: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
        elif not stripped:
            comment = []  # What stands above an empty line is about the whole file.
        elif found := _KEY.match(line):
            place[len(found["indent"]) // 2 :] = [found["name"]]
            key = ".".join(place)
            if comment and (len(place) > 1 or not _holds_keys(lines, number)):
                entries.append(Entry(" ".join(comment), []))
                comment = []
            if not _holds_keys(lines, number):
                entries[-1].keys.append(key)
    return entries


def _holds_keys(lines: list[str], number: int) -> bool:
    """Say whether a key's value is a group of keys: deeper keys or comments follow it."""
    indent = len(lines[number]) - len(lines[number].lstrip())
    following = next((line for line in lines[number + 1 :] if line.strip()), "")
    deeper = len(following) - len(following.lstrip()) > indent
    return deeper and not following.lstrip().startswith("- ")


def allowed(key: str) -> str:
    """Return what a parameter may be, in words."""
    if key in CHECKED_BY_FUNCTION:
        return CHECKED_BY_FUNCTION[key] + ", or empty"
    model: Any = Params
    *groups, last = key.split(".")
    for group in groups:
        model = model.model_fields[group].annotation
    field = model.model_fields[last]
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: list[Any]) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return _words(inner, [*more, *metadata])
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        names = [f"`{name}`" for name in arguments]
        return ", ".join(names[:-1]) + f" or {names[-1]}"
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        parts = [_words(part, metadata) for part in arguments if part is not type(None)]
        return ", ".join([*parts, "or empty"])
    if typing.get_origin(annotation) is list:
        return f"a list of {_plural(_words(arguments[0], []))}"
    if annotation is bool:
        return "`true` or `false`"
    if annotation is str:
        return "text"
    return {int: "a whole number", float: "a number"}[annotation] + _range(metadata)


def _plural(words: str) -> str:
    one, rest = ("a whole number", "whole numbers"), words
    return rest.replace(*one) if one[0] in words else {"text": "texts"}.get(words, words)


def _range(metadata: list[Any]) -> str:
    bounds = list(_bounds(metadata))
    words = ""
    for bound in bounds:
        match bound:
            case Ge(ge=value):
                words += f" from {_number(value)}"
            case Gt(gt=value):
                words += f" above {_number(value)}"
            case Le(le=value):
                words += f" to {_number(value)}" if "from" in words else f" up to {_number(value)}"
            case Lt(lt=value):
                words += f" below {_number(value)}"
    return words


def _bounds(metadata: list[Any]) -> Iterator[Any]:
    for entry in metadata:
        # pydantic keeps the bounds of an inner type as one Field with metadata of its own.
        yield from getattr(entry, "metadata", None) or [entry]


def _number(value: Any) -> str:
    return f"{int(value):,}" if value == int(value) else str(value)


def _default(value: Any) -> str:
    if value is None:
        return "empty by default"
    text = str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")
    return f"default `{text}`"


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _linked(comment: str, known: dict[str, str], own: list[str]) -> str:
    """Return a comment in which the names of other parameters lead to them."""

    def link(found: re.Match[str]) -> str:
        key = found[0]
        return f"[`{key}`](#{known[key]})" if key in known and key not in own else f"`{key}`"

    # What stands in backticks stays as it is.
    parts = re.split(r"(`[^`]*`)", comment.replace("<", "&lt;"))
    names = "|".join(re.escape(key) for key in sorted(known, key=len, reverse=True) if "." in key)
    parts[::2] = [
        re.sub(rf"(?<![\w./])(?:{names})(?![\w/])", link, part).replace("*", r"\*")
        for part in parts[::2]
    ]
    return "".join(parts)


def _reruns(group: str, stages: list[Stage]) -> str:
    readers = [stage for stage in stages if group in stage.parameter_groups]
    # The report reads all parameters, but runs again because of what it follows.
    first = [stage for stage in readers if not any(stage.follows(other) for other in readers)]
    if not first:
        return "In no stage's parameters: a change re-runs nothing."
    after = [stage for stage in stages if any(stage.follows(reader) for reader in first)]
    return f"A change re-runs {_names(first)}, then what follows: {_names(after)}."


def _names(stages: list[Stage]) -> str:
    return ", ".join(f"[{stage.name}](stages.md#{stage.name})" for stage in stages)
