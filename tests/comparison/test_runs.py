from pathlib import Path

import pytest

from celeba_vae.comparison.runs import read_run
from celeba_vae.runtime.errors import UserError

LOCK = """
stages:
  train:
    cmd: x
    params:
      params.yaml:
        threads: 2
        train:
          seed: 1
          sigma:
  report:
    cmd: y
    params:
      params.yaml:
        model:
          filters:
          - 4
          - 8
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run leaves for a comparison, in the current folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "dvc.lock").write_text(LOCK)
    (tmp_path / "data/metrics.json").write_text('{"ssim": 0.5, "encoder": 9, "other": 1}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_what_the_lock_says_that_it_was_made_with(project: Path) -> None:
    (project / "params.yaml").write_text("train: {seed: 2}")
    run = read_run("workspace", project / "unused")
    assert run.parameters == {
        "threads": 2,
        "train.seed": 1,
        "train.sigma": None,
        "model.filters": [4, 8],
    }
    assert list(run.metrics.items()) == [("encoder", 9), ("ssim", 0.5)]


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("dvc.lock", "", r"dvc\.lock: holds no stages"),
        ("dvc.lock", "stages: [a]", r"dvc\.lock: holds no stages"),
        ("dvc.lock", "stages: {train: 1}", r"dvc\.lock: holds no stages"),
        ("data/metrics.json", "[]", r"metrics\.json: is damaged, or not a JSON object"),
        ("data/metrics.json", '{"psnr": "x"}', r"metrics\.json: psnr is no number"),
        ("data/metrics.json", '{"psnr": true}', r"metrics\.json: psnr is no number"),
        ("data/metrics.json", '{"psnr": NaN}', r"metrics\.json: is damaged"),
    ],
)
def test_damaged_files_get_one_line(project: Path, file: str, content: str, expected: str) -> None:
    (project / file).write_text(content)
    with pytest.raises(UserError, match=expected) as caught:
        read_run("workspace", project)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(project: Path) -> None:
    (project / "data/metrics.json").unlink()
    with pytest.raises(UserError, match=r"^data/metrics\.json: no such file; `dvc repro` makes"):
        read_run("workspace", project)
