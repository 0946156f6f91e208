"""The page of files, held to what the pipeline leaves with tiny parameters."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from docs.generator.files import Array, File, find, make_files, read_files
from tests.support import ROOT

FILES = {file.path: file for file in read_files(ROOT)}


def left_in(project: Path) -> list[str]:
    """The files below data/ that a run leaves, by their paths."""
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    names = [path.relative_to(project).as_posix() for path in files]
    return [n for n in names if not n.startswith("data/scratch/") and not n.endswith(".gitignore")]


def sizes_of(project: Path, name: str) -> dict[str, int]:
    """What the words in the shapes of a file's arrays are."""
    data = project / "data"
    architecture = json.loads((data / "model/architecture.json").read_text())
    known = {"size": architecture["size"], "z_dim": architecture["model"]["z_dim"]}
    manifest = json.loads((data / "shards/manifest.json").read_text())
    for split, described in manifest["splits"].items():
        for shard in described["shards"]:
            if name == f"data/shards/{shard['file']}":
                return known | {"images": shard["images"]}
        if name.startswith(f"data/zpoints/{split}_"):
            return known | {"images": described["images"]}
    return known


def misfits(arrays: Mapping[str, Array], found: Any, sizes: dict[str, int]) -> Iterator[str]:
    """Yield what is wrong with arrays; a word without a known size takes the first one it meets."""
    for name, array in arrays.items():
        dtype, shape = found[name].dtype, found[name].shape
        if not str(dtype).startswith(array.dtype):
            yield f"{name} is {dtype}, not {array.dtype}"
        expected = tuple(
            word if isinstance(word, int) else sizes.setdefault(word, size)
            for word, size in zip(array.shape, shape, strict=False)
        )
        if len(array.shape) != len(shape) or expected != shape:
            yield f"{name} has the shape {shape}, not {array.shape}"


def keys_of(values: Any, place: str = "") -> Iterator[str]:
    """Yield the names of all values in a JSON file; a list of groups counts as one group."""
    if isinstance(values, list) and values and isinstance(values[0], dict):
        for value in values:
            yield from keys_of(value, place)
    elif isinstance(values, dict) and values:
        for key, value in values.items():
            yield from keys_of(value, f"{place}.{key}".removeprefix("."))
    else:
        yield place


def wrong_names(described: Mapping[str, str], found: list[str], *, ordered: bool) -> Iterator[str]:
    """Yield names that are not described, and plainly named ones that are not there."""
    patterns = list(described)
    of = {name: find(patterns, name) for name in found}
    yield from (f"{name} is not described" for name in found if of[name] is None)
    yield from (f"{name} is not there" for name in patterns if "{" not in name and name not in of)
    order = [patterns.index(pattern) for pattern in of.values() if pattern is not None]
    if ordered and order != sorted(order):
        yield f"the order is {found}"


def check(project: Path, name: str, file: File) -> list[str]:
    """Return what the page says wrongly about a file."""
    path, sizes = project / name, sizes_of(project, name)
    match path.suffix:
        case ".npy":
            assert file.array is not None
            return list(misfits({"it": file.array}, {"it": np.load(path)}, sizes))
        case ".npz":
            with np.load(path) as arrays:
                names = dict.fromkeys(file.arrays, "")
                return [
                    *wrong_names(names, arrays.files, ordered=True),
                    *misfits(file.arrays, arrays, sizes),
                ]
        case ".tsv" | ".csv":
            with path.open(newline="") as table:
                header = next(csv.reader(table, delimiter="\t" if path.suffix == ".tsv" else ","))
            return list(wrong_names(file.columns, header, ordered=True))
        case ".json":
            found = list(dict.fromkeys(keys_of(json.loads(path.read_text()))))
            return list(wrong_names(file.keys, found, ordered=False))
    return []


def test_every_file_is_on_the_page_as_it_is(reproduced: Path) -> None:
    wrong, seen = [], set()
    for name in left_in(reproduced):
        pattern = find(list(FILES), name)
        if pattern is None:
            wrong.append(f"{name}: is not on the page")
        else:
            seen.add(pattern)
            wrong += [f"{name}: {text}" for text in check(reproduced, name, FILES[pattern])]
    wrong += [f"{pattern}: no such file was left" for pattern in FILES if pattern not in seen]
    assert not wrong


def test_a_wrong_dtype_shape_or_name_is_found() -> None:
    described = {"a": Array("float32", ("n", "z_dim"), ""), "b": Array("int64", ("n", 4), "")}
    good: dict[str, np.ndarray] = {
        "a": np.zeros((3, 6), np.float32),
        "b": np.zeros((3, 4), np.int64),
    }

    def found(name: str, array: np.ndarray) -> list[str]:
        return list(misfits(described, good | {name: array}, {"z_dim": 6}))

    assert found("a", good["a"]) == []
    assert "float64, not float32" in found("a", np.zeros((3, 6)))[0]
    assert "(3, 7)" in found("a", np.zeros((3, 7), np.float32))[0]
    assert "(2, 4)" in found("b", np.zeros((2, 4), np.int64))[0]
    assert "(3, 5)" in found("b", np.zeros((3, 5), np.int64))[0]
    assert "(3,)" in found("b", np.zeros(3, np.int64))[0]

    columns = {"row": "", "x_{side}": "", "last": ""}
    assert list(wrong_names(columns, ["row", "x_96", "x_48", "last"], ordered=True)) == []
    assert list(wrong_names(columns, ["row", "y", "last"], ordered=True)) == ["y is not described"]
    assert list(wrong_names(columns, ["row", "x_96"], ordered=True)) == ["last is not there"]
    assert "order" in next(wrong_names(columns, ["last", "row"], ordered=True))


def test_the_page_shows_every_file_and_name() -> None:
    page = make_files(ROOT)
    for file in FILES.values():
        for name in (*file.columns, *file.keys, *file.arrays):
            assert "{" in name or f"- `{name}`: " in page, (file.path, name)
    assert "### `SPLIT_mu.npy`" in page
    assert "- `float32` (images, z_dim): units of z" in page
    assert "- `gaussian_root`: `float64` (z_dim, z_dim): symmetric square root" in page
