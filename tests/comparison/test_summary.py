import shutil
from pathlib import Path

import pytest

from celeba_vae.comparison.summary import summarize
from celeba_vae.report.key_metrics import KEY_METRICS
from celeba_vae.runtime.errors import UserError


def test_a_run_is_read_and_what_follows_is_said(
    reproduced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reproduced)
    text = summarize()
    places, metrics, following = text.split("\n\n")
    assert all((reproduced / line.split()[0]).exists() for line in places.splitlines()[2:6])
    assert [line.split()[0] for line in metrics.splitlines()[1:]] == list(KEY_METRICS)
    assert "of 8; lower is better" in metrics
    # Six steps are too few, and the experiment changes what this run has changed.
    head, why, command, *_ = following.splitlines()
    assert head == "Next"
    assert why.startswith("  6 steps of training are too few")
    assert command.startswith("    dvc exp run --temp -n longer -S ")
    assert "-S model.z_dim=6" in command
    assert max(map(len, (*places.splitlines(), *metrics.splitlines()))) <= 100


def test_where_no_results_are_none_is_named(
    reproduced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^dvc\.lock: no such file; run this at the top"):
        summarize()
    # What git brings.
    (tmp_path / "data").mkdir()
    for name in ("dvc.lock", "data/metrics.json"):
        shutil.copy(reproduced / name, tmp_path / name)
    text = summarize()
    assert "No results lie in data/ yet: `make repro` makes them" in text
    assert "data/report" not in text
    assert "psnr" in text
    assert "Next" not in text


def test_files_that_are_of_several_runs_are_named(
    reproduced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dvc.lock", "data/metrics.json", "src/celeba_vae/defaults.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reproduced / name, tmp_path / name)
    for name in ("data/metrics", "data/model", "data/report"):
        shutil.copytree(reproduced / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert "Next" in summarize()
    # As of a run from before another parameter came.
    with (tmp_path / "src/celeba_vae/defaults.yaml").open("a") as defaults:
        defaults.write("newer: {group: 1}\n")
    with pytest.raises(UserError, match=r"^dvc\.lock: is of other code, without the parameter n"):
        summarize()
    # As `git pull` leaves it.
    with (tmp_path / "data/report/report.html").open("a") as page:
        page.write("older")
    with pytest.raises(UserError, match=r"^workspace: its data/report is not what dvc\.lock says"):
        summarize()
