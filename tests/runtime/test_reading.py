import io
import json
import re
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_arrays, write_json, write_tsv
from celeba_vae.runtime.reading import (
    map_array,
    read_array,
    read_arrays,
    read_object,
    read_tsv,
)
from tests.damage import REPLACEMENTS, damaged

READERS: dict[str, Callable[..., Any]] = {
    "object.json": read_object,
    "table.tsv": read_tsv,
    "array.npy": read_array,
    "map.npy": map_array,
    "arrays.npz": read_arrays,
}
VALUES = {"a": np.arange(6.0).reshape(2, 3), "names": np.array(["x", "yy"]), "n": np.array(3)}


def write(path: Path) -> None:
    match path.suffix:
        case ".json":
            write_json(path, {"a": [1, 2.5, None], "b": {"c": "text"}})
        case ".tsv":
            write_tsv(path, ("name", "value"), [("x", 1.5), ('"y', "")])
        case ".npy":
            write_arrays(path, VALUES["a"])
        case _:
            write_arrays(path, VALUES)


def refusal(path: Path, reader: Callable[..., Any]) -> str:
    """The one line that reading the file ends with."""
    with pytest.raises(UserError) as caught:
        reader(path, fix="run it again")
    line = str(caught.value)
    assert line.startswith(str(path))
    assert line.endswith("; run it again")
    assert "\n" not in line
    return line


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for name in READERS:
        write(tmp_path / name)
    assert read_object(tmp_path / "object.json", fix="") == {
        "a": [1, 2.5, None],
        "b": {"c": "text"},
    }
    table = read_tsv(tmp_path / "table.tsv", fix="")
    assert table == (["name", "value"], [["x", "1.5"], ['"y', ""]])
    assert np.array_equal(read_array(tmp_path / "array.npy", fix=""), VALUES["a"])
    assert np.array_equal(map_array(tmp_path / "map.npy", fix=""), VALUES["a"])
    arrays = read_arrays(tmp_path / "arrays.npz", fix="")
    assert list(arrays) == list(VALUES)
    assert all(np.array_equal(arrays[name], value) for name, value in VALUES.items())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("found", REPLACEMENTS)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_such_file_gets_one_line_at_once(tmp_path: Path, name: str, found: str) -> None:
    write(tmp_path / name)
    REPLACEMENTS[found](tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = refusal(tmp_path / name, READERS[name])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    expected = {"missing": "no such file", "dangling": "no such file", "folder": "is a folder"}
    expected |= {"pipe": "is no regular file", "endless": "is no regular file"}
    assert expected.get(found, ";") in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", "is damaged, or not a JSON object"),
        ("null", "is damaged, or not a JSON object"),
        ('{"a": NaN}', "is damaged, or not a JSON object with finite values"),
        ('{"a": -Infinity}', "is damaged, or not a JSON object with finite values"),
        ('{"a": 1e999}', "is damaged, or not a JSON object with finite values"),
        ('{"a": ' + 5000 * "1" + "}", "is damaged, or not a JSON object"),
        (100_000 * "[", "is damaged, or not a JSON object"),
        ('{"a": 1,\n "b": }', "is not JSON, from line 2, column 7 on"),
        ("\udcff", "is damaged, or not a JSON object"),
    ],
    ids=["list", "null", "nan", "infinity", "huge", "digits", "deep", "broken", "no UTF-8"],
)
def test_no_json_object(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert expected in refusal(path, read_object)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\tb\n1\t2", "is damaged"),
        ("a\tb\n1\t2\n3\n", "line 3: 1 cells, the header has 2"),
        ("\n", "is damaged, or not a table"),
    ],
)
def test_no_table(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "x.tsv").write_text(content)
    assert expected in refusal(tmp_path / "x.tsv", read_tsv)


def npy(descr: str, shape: str, data: bytes = bytes(48)) -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (117 - len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    "content",
    [
        npy("<f8", "(1000000000000,)"),
        npy("<f8", "(7,)"),
        npy("<f8", "(5,)"),
        npy("<f8", "(-2, -3)"),
        npy("<U0", "(1000000000000,)", b""),
        npy("|V8", "(6,)"),
        npy("|O", "(6,)"),
        npy("<c16", "(3,)"),
        npy("<f8", "(" * 90),
        npy("<f8", "(6,)").replace(b"'shape'", b"  shape"),
        npy("<f8", "(6,)").replace(b"\x93NUMPY\x01", b"\x93NUMPY\x02"),
    ],
    ids=[
        *("terabytes", "long", "short", "negative", "nothing each", "void", "objects", "complex"),
        *("nested", "no string", "version"),
    ],
)
def test_an_array_that_is_not_as_long_as_its_header_says_takes_no_memory(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.npy", content)
    (tmp_path / "x.npz").write_bytes(packed.getvalue())
    expected = "is damaged, or not a|bytes of values, its header says [0-9]"
    assert re.search(expected, refusal(tmp_path / "x.npy", read_array))
    assert re.search(expected, refusal(tmp_path / "x.npy", map_array))
    assert re.search(expected, refusal(tmp_path / "x.npz", read_arrays))


def test_packed_arrays_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1_000_000))
    assert "is damaged, or not arrays" in refusal(tmp_path / "x.npz", read_arrays)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "is damaged, or not an array" in refusal(tmp_path / "x.npy", read_array)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
@pytest.mark.parametrize("name", READERS)
def test_damage_ends_in_one_line_or_not_at_all(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    path = tmp_path / name
    write(path)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        value = READERS[name](path, fix="run it again")
    except UserError as error:
        assert str(error).endswith("; run it again")
        assert "\n" not in str(error)
        return
    if name == "object.json":
        json.dumps(value, allow_nan=False)
