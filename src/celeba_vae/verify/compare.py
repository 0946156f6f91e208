"""Comparison of two runs of the pipeline: which files differ in their bytes, and how far."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from celeba_vae.runtime.mappings import flatten
from celeba_vae.runtime.strict_yaml import read_yaml


class Row(NamedTuple):
    """One line of the verdict's table; `passed` is None for what is reported and not judged."""

    what: str
    rule: str
    result: str
    passed: bool | None


class Run(NamedTuple):
    """What a run made: the md5 of every out and metric by its path, and DVC's cache of it.

    The md5 of a folder, which ends in ".dir", is that of the list of its files in the cache.
    """

    outs: dict[str, str]
    cache: Path


def read_run(lock: Path, cache: Path) -> Run:
    """Return what `lock` (a dvc.lock) says that a run made, with its files in `cache`."""
    stages = read_yaml(lock)["stages"]
    outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
    return Run(outs, cache)


def same_bytes(name: str, wanted: Run, got: Run, *, rule: str, judged: bool = True) -> Row:
    """Compare one out of two runs, and say what differs, as far as the caches hold it.

    Args:
        name: path of the out.
        wanted: the run that it should be as; its cache may lack the files.
        got: the run that is judged; its cache holds all.
        rule: what the table says of the rule.
        judged: whether a difference is a failure.
    """
    first, second = wanted.outs.get(name), got.outs.get(name)
    if first == second:
        return Row(name, rule, "same", passed=True)
    return Row(
        name, rule, _differences(name, first, second, wanted, got), False if judged else None
    )


def _differences(name: str, first: str | None, second: str | None, wanted: Run, got: Run) -> str:
    if first is None or second is None:
        return "made by one of the runs only"
    before, after = _files(name, first, wanted.cache), _files(name, second, got.cache)
    if not before:
        return "other bytes (the wanted files are not in DVC's cache here: it cannot say which)"
    files = [file for file in sorted({**before, **after}) if before.get(file) != after.get(file)]
    shown = []
    for file in files[:4]:
        if file not in before or file not in after:
            shown.append(f"{file} ({'new' if file in after else 'missing'})")
            continue
        how = describe_difference(
            _object(wanted.cache, before[file]), _object(got.cache, after[file]), Path(file).suffix
        )
        shown.append(" ".join(filter(None, (file, how))))
    more = f" and {len(files) - 4} more" if len(files) > 4 else ""
    return f"{len(files)} of {len({**before, **after})} files differ: {', '.join(shown)}{more}"


def _files(name: str, md5: str, cache: Path) -> dict[str, str]:
    """Return the md5 of every file of an out by its name; nothing where the list is not at hand."""
    if not md5.endswith(".dir"):
        return {Path(name).name: md5}
    listing = _object(cache, md5)
    if not listing:
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}


def _object(cache: Path, md5: str) -> Path | None:
    """Return a file of the cache, None if it is not there or not what its name says."""
    path = cache / "files/md5" / md5[:2] / md5[2:]
    if not path.is_file():
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return path if found == md5.removesuffix(".dir") else None


def describe_difference(first: Path | None, second: Path | None, suffix: str) -> str:
    """Return how far two files are from each other: pixels, numbers, or which keys.

    Empty for other kinds of files, and where one of the two is not at hand.

    Args:
        first: one file, None if it is not at hand.
        second: the other.
        suffix: what the names of both end in, such as ".png".
    """
    if not first or not second or suffix not in (".json", ".png", ".npy", ".npz", ".h5"):
        return ""
    if suffix == ".json":
        return _differing_keys(json.loads(first.read_bytes()), json.loads(second.read_bytes()))
    one, other = _arrays(first, suffix), _arrays(second, suffix)
    if {key: value.shape for key, value in one.items()} != {
        key: value.shape for key, value in other.items()
    }:
        return "(other shapes)"
    # int16 and wider: the difference of two uint8 would wrap around.
    largest, moved, total = 0.0, 0, 0
    for key, value in one.items():
        if value.dtype.kind not in "iufb":
            continue
        difference = np.abs(value.astype(np.float64) - other[key].astype(np.float64))
        largest = max(largest, float(difference.max(initial=0)))
        moved += int(np.count_nonzero(difference))
        total += difference.size
    if suffix == ".png":
        return f"({moved / max(total, 1):.2%} of the values of its pixels, by up to {largest:.0f})"
    return f"(by up to {largest:.2g})"


def _differing_keys(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    one, other = flatten(first), flatten(second)
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    shown = [f"{key} {one.get(key)!s:.20}, here {other.get(key)!s:.20}" for key in keys[:3]]
    return f"({'; '.join([*shown, *([f'{len(keys) - 3} more'] if len(keys) > 3 else [])])})"


def _arrays(path: Path, suffix: str) -> dict[str, np.ndarray]:
    if suffix == ".png":
        with Image.open(path) as image:
            return {"": np.asarray(image)}
    if suffix == ".npy":
        return {"": np.load(path)}
    if suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    import h5py

    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()])

    with h5py.File(path) as file:
        file.visititems(keep)
    return found
