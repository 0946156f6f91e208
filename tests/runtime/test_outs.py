import json
from pathlib import Path

import numpy as np
import pytest

from celeba_vae.runtime.outs import Result, Table, write_outs, write_result


def test_each_out_is_written_by_the_ending_of_its_name(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    outs = {
        "z.npy": array,
        "two.npz": {"a": array, "b": array[0]},
        "table.tsv": Table(("name", "loss"), [("x", 2 / 3), ("y", "")]),
        "rows.csv": Table(("row", "name"), ((row, f"{row},a") for row in range(2))),
        "values.json": {"std": 1 / 3},
        "plots/grid.png": b"\x89PNG",
        "report.html": b"<html>",
    }
    write_outs(tmp_path, outs)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == set(outs)
    assert np.array_equal(np.load(tmp_path / "z.npy"), array)
    with np.load(tmp_path / "two.npz") as loaded:
        assert loaded.files == ["a", "b"]
        assert np.array_equal(loaded["b"], array[0])
    assert (tmp_path / "table.tsv").read_text() == "name\tloss\nx\t0.666667\ny\t\n"
    assert (tmp_path / "rows.csv").read_text() == 'row,name\n0,"0,a"\n1,"1,a"\n'
    assert json.loads((tmp_path / "values.json").read_text()) == {"std": 0.333333}
    assert (tmp_path / "plots/grid.png").read_bytes() == b"\x89PNG"


def test_the_same_outs_give_the_same_bytes(tmp_path: Path) -> None:
    array = np.linspace(0, 1, 7)
    for folder in ("a", "b"):
        write_outs(tmp_path / folder, {"x.npz": {"y": array}, "x.npy": array, "x.json": {"y": 0.1}})
    for name in ("x.npz", "x.npy", "x.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_objects_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_outs(tmp_path, {"x.npy": np.array([{}, None], dtype=object)})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.pickle: no way to write such a file"):
        write_outs(tmp_path, {"model.pickle": b""})


def test_a_result_is_outs_and_metrics(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics/stage.json"
    write_result(Result({"a.json": {"b": 1}}, {"loss": 2.0}), tmp_path / "stage", metrics)
    assert json.loads((tmp_path / "stage/a.json").read_text()) == {"b": 1}
    assert json.loads(metrics.read_text()) == {"loss": 2.0}
