import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from celeba_vae.comparison.runs import check_made, fetch_run, read_run
from celeba_vae.runtime.errors import UserError
from tests.support import succeed

METRICS = '{"ssim": 0.5, "encoder": 9, "other": 1}'
LOCK = """
stages:
  train:
    cmd: x
    deps:
    - {path: data/imported, md5: 0123456789.dir}
    - {path: src/celeba_vae/model, md5: aa.dir}
    params:
      params.yaml:
        threads: 2
        train:
          seed: 1
          sigma:
    outs:
    - {path: data/model, md5: MODEL.dir}
  report:
    cmd: y
    deps:
    - {path: data/model, md5: MODEL.dir}
    - {path: src/celeba_vae, md5: bb.dir}
    params:
      params.yaml:
        threads: 2
        model:
          filters:
          - 4
          - 8
    outs:
    - {path: data/metrics.json, md5: METRICS}
"""


def md5(content: str) -> str:
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def lock(metrics: str = METRICS) -> str:
    """The dvc.lock of a run with such metrics, and with a model of one file."""
    model = '[{"md5": "' + md5("weights") + '", "relpath": "deeper/vae.h5"}]'
    return LOCK.replace("METRICS", md5(metrics)).replace("MODEL", md5(model))


# As a training leaves it that nothing came after.
BROKEN_OFF = lock().replace("data/model, md5: ", "data/model, md5: 0", 1)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run leaves for a comparison, in the current folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "dvc.lock").write_text(lock())
    (tmp_path / "data/metrics.json").write_text(METRICS)
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
    # The code of the report alone makes no other results.
    (project / "dvc.lock").write_text(lock().replace("bb.dir", "cc.dir"))
    assert read_run("workspace", project).inputs == run.inputs
    (project / "dvc.lock").write_text(lock().replace("aa.dir", "cc.dir"))
    assert read_run("workspace", project).inputs["code"] != run.inputs["code"]
    assert run.inputs["images"] == "01234567"


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("dvc.lock", "", r"dvc\.lock: holds no run"),
        ("dvc.lock", "stages: {}", r"dvc\.lock: holds no run"),
        ("dvc.lock", "stages: [a]", r"dvc\.lock: holds no run"),
        ("dvc.lock", "stages: {train: 1}", r"dvc\.lock: holds no run"),
        ("dvc.lock", "stages: {train: {params: {params.yaml: [1]}}}", r"dvc\.lock: holds no run"),
        ("dvc.lock", lock("{}"), r"its data/metrics\.json is not what dvc\.lock says that the run"),
        ("dvc.lock", lock().replace("threads: 2", "threads: 1", 1), "had different threads, so"),
        ("dvc.lock", BROKEN_OFF, "its stages had different data/model, so that a run was br"),
        ("data/metrics.json", "[]", r"metrics\.json: is damaged, or not a JSON object"),
        ("data/metrics.json", '{"psnr": "x"}', r"metrics\.json: psnr is no number"),
        ("data/metrics.json", '{"psnr": true}', r"metrics\.json: psnr is no number"),
        ("data/metrics.json", '{"psnr": NaN}', r"metrics\.json: is damaged"),
    ],
)
def test_damaged_files_get_one_line(project: Path, file: str, content: str, expected: str) -> None:
    (project / file).write_text(content)
    if file == "data/metrics.json":
        (project / "dvc.lock").write_text(lock(content))
    with pytest.raises(UserError, match=expected) as caught:
        read_run("workspace", project)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(project: Path) -> None:
    (project / "data/metrics.json").unlink()
    with pytest.raises(
        UserError, match=r"^workspace: its data/metrics\.json is missing; `git checkout data"
    ):
        read_run("workspace", project)


def test_files_of_another_run_are_not_taken_for_those_of_this_one(project: Path) -> None:
    run = read_run("workspace", project)
    weights = project / "data/model/deeper/vae.h5"
    with pytest.raises(
        UserError, match=r"^workspace: its data/model is missing; `dvc checkout data/model`"
    ):
        check_made(run, project, ["data/model"])
    weights.parent.mkdir(parents=True)
    weights.write_text("weights")
    check_made(run, project, ["data/model", "data/metrics.json"])
    weights.write_text("other weights")
    with pytest.raises(UserError, match=r"data/model is not what dvc\.lock says that the run made"):
        check_made(run, project, ["data/model"])
    with pytest.raises(UserError, match=r"^old: its data/model is not what .* made; run it again"):
        check_made(replace(run, name="old"), project, ["data/model"])


def test_what_is_no_run_is_refused(project: Path) -> None:
    for command in (
        "git init -q",
        "dvc init -q",
        "git add dvc.lock",
        "git -c user.name=a -c user.email=b commit -qm c",
    ):
        succeed(*command.split(), cwd=project)
    (project / "dvc.yaml").write_text("stages: {}")
    for name, expected in (
        ("", "^a run is named ''"),
        (" ", "unknown Git revision"),
        ("nobody", "^nobody: unknown Git revision 'nobody'; `dvc exp list` and `git log` name"),
        ("HEAD^{tree}", r"^HEAD\^{tree}: unknown Git revision"),
        ("HEAD:dvc.lock", "^HEAD:dvc.lock: unknown Git revision"),
        ("a\0b", r"^a\\x00b: "),
        ("x" * 5000, "x: "),
        ("HEAD", r"^HEAD: its data/metrics\.json is not among its files"),
    ):
        with pytest.raises(UserError, match=expected) as caught:
            fetch_run(name, project / "fetched", ["dvc.lock", "data/metrics.json"])
        assert "\n" not in str(caught.value)
