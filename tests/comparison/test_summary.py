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
