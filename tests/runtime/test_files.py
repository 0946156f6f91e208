import csv
import json
import os
import stat
from pathlib import Path

import pytest

from celeba_vae.runtime.files import (
    atomic_path,
    sha256_of,
    write_csv,
    write_json,
    write_text,
    write_tsv,
)


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_text(path, "old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_keeps_the_ending(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "a.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        assert temporary.parent == tmp_path / "new"


def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_json_is_rounded_and_ends_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1 / 3, "a": [1, {"c": 123456789.0}], "n": None})
    assert json.loads(path.read_text()) == {"b": 0.333333, "a": [1, {"c": 123457000.0}], "n": None}
    assert path.read_text().endswith("}\n")
    assert list(json.loads(path.read_text())) == ["b", "a", "n"]


def test_json_refuses_what_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_tsv(tmp_path: Path) -> None:
    write_tsv(tmp_path / "a.tsv", ("epoch", "loss"), [(1, 2 / 3), (2, 1e-9)])
    assert (tmp_path / "a.tsv").read_text() == "epoch\tloss\n1\t0.666667\n2\t1e-09\n"


def test_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("name", "loss"), ((n, v) for n, v in [("a,b", 2 / 3), ("", 1)]))
    assert (tmp_path / "a.csv").read_bytes() == b'name,loss\n"a,b",0.666667\n,1\n'


def test_any_text_in_a_csv_comes_back(tmp_path: Path) -> None:
    cells = [
        "\r",
        "a\rb",
        "\n",
        "\r\n",
        "a\r\n",
        '"',
        ",",
        "'",
        " ",
        "",
        "\t",
        "\x1b",
        "\u2028",
        "\x85",
    ]
    rows = [[first, second] for first in cells for second in cells]
    write_csv(tmp_path / "a.csv", ("one", "two"), rows)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, strict=True)) == [["one", "two"], *rows]


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "abc")
    assert sha256_of(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
