"""What DVC prints of the metrics fits into a terminal of 120 columns."""

import json
import re
from pathlib import Path

import pytest

from celeba_vae.report.key_metrics import KEY_METRICS, key_metrics
from celeba_vae.runtime.files import write_json
from tests.support import ROOT, commit, copy_project, succeed

COLUMNS = 120


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it stands, with metrics of the default run's size, and changed ones."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    files = (ROOT / "data/metrics").glob("*.json")
    metrics = {file.stem: json.loads(file.read_text()) for file in files}
    metrics["train"]["step_bytes"] = 208_349_999
    key = key_metrics(metrics)
    assert list(key) == list(KEY_METRICS)
    write_json(folder / "data/metrics.json", key)
    commit(folder, "a run")
    write_json(folder / "data/metrics.json", {name: value + 1 for name, value in key.items()})
    return folder


def dvc(project: Path, *words: str) -> list[str]:
    """The lines that DVC prints, without the ends of lines that no screen is wide enough for."""
    return succeed("dvc", *words, cwd=project).splitlines()


def test_all_metrics_fit_beside_each_other(project: Path) -> None:
    head, row = dvc(project, "metrics", "show")
    assert set(head.split()) == {"Path", *KEY_METRICS}
    assert max(len(head), len(row)) <= COLUMNS


def test_differences_are_one_screen(project: Path) -> None:
    lines = dvc(project, "metrics", "diff")
    assert len(lines) == 1 + len(KEY_METRICS)
    assert max(map(len, lines)) <= COLUMNS


def test_the_first_eight_stand_in_the_first_columns_of_all_experiments(project: Path) -> None:
    # As `less -S` shows it: the whole table, cut where the screen ends. Two more columns for the
    # name of an experiment: "└── 1234567 [" and "]" stand around it.
    (head,) = [line for line in dvc(project, "exp", "show") if "Experiment" in line]
    name = len("├── 1234567 [inter-dense-256]") - len("Experiment")
    time = len("01:05 PM") - len("Created")
    shown = head[: COLUMNS - name - time].split()
    assert shown[:2] == ["Experiment", "Created"]
    assert [name for name in shown if name in KEY_METRICS][:8] == list(KEY_METRICS)[:8]
    # What follows are parameters, by their whole names.
    assert re.search(r"\bmodel\.inter_dense\b", head)
