"""Nested mappings as flat ones, and what differs between two of them."""

from collections.abc import Mapping
from typing import Any


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what nested mappings hold by the whole name of each, such as `packages.numpy`."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}."))
        else:
            flat[prefix + key] = item
    return flat


def changes(first: Mapping[str, Any], second: Mapping[str, Any], *, label: str) -> list[str]:
    """Return `key: first, LABEL second value` for each value in which two mappings differ."""
    one, other = flatten(first), flatten(second)
    pairs = ((key, one.get(key, "none"), other.get(key, "none")) for key in {**one, **other})
    return [f"{key}: {_text(a)}, {label} {_text(b)}" for key, a, b in pairs if a != b]


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
