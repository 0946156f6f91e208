"""What every stage does around its work, shown with stages that hardly do any."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from celeba_vae.runtime.console import in_words
from tests.support import ROOT, copy_project, run

STAGE = """
import os, signal
from pathlib import Path
from stages.runner import run

def edit(file, old, new):
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new, 1))

def train(params):
    {body}

run(train)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as it stands, without data."""
    return copy_project(tmp_path)


def run_stage(project: Path, body: str, *, source: str = "src") -> tuple[int, str]:
    """Run a process as stage `train` that does what `body` says; return status and stderr."""
    code = STAGE.format(body=body)
    done = run(sys.executable, "-c", code, cwd=project, env={"PYTHONPATH": source})
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_a_stage_that_ends_well_says_nothing(project: Path) -> None:
    assert run_stage(project, "assert params.train.epochs") == (0, "")


def test_under_dvc_a_stage_says_which_it_is_and_the_last_what_each_took(project: Path) -> None:
    # So that evaluate is the last one.
    pipeline = project / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().partition("  report:")[0])
    # What a killed machine left of the times before is no reason to fail.
    (project / "data/scratch").mkdir(parents=True, exist_ok=True)
    (project / "data/scratch/times.json").write_text('{"train": {"run": 1}}')
    # Two runs, each of one parent.
    for names in (("download", "train"), ("prepare", "evaluate")):
        codes = [STAGE.format(body="pass").replace("train", name) for name in names]
        stages = [shlex.join([sys.executable, "-c", code]) for code in codes]
        environment = {"PYTHONPATH": "src", "DVC_STAGE": "it", "DVC_ROOT": str(project)}
        done = run("bash", "-c", f"{'; '.join(stages)}; exit", cwd=project, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[:2] == [
        "",
        "Stage 2 of 7, prepare: Crop and resize every face, join it to its annotations, write "
        "uint8 shards",
    ]
    assert re.fullmatch(r"prepare: done in \d+ s", said[2])
    assert said[4].startswith("Stage 7 of 7, evaluate: ")
    assert re.fullmatch(r"All done in \d+ s: prepare\xa0\d+\xa0s, evaluate\xa0\d+\xa0s", said[-1])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (192, "3 min 12 s"), (7499, "2 h 4 min")],
)
def test_a_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


CODE = "src/celeba_vae/pool.py"


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (f"import celeba_vae.pool; edit('{CODE}', 'import', 'import ')", CODE),
        ("edit('params.yaml', '  epochs: 10', '  epochs: 11')", "params.yaml: train"),
    ],
    ids=["code", "parameters"],
)
def test_what_is_edited_while_it_runs_makes_it_fail(project: Path, body: str, edited: str) -> None:
    status, said = run_stage(project, body)
    assert status == 1
    assert said.startswith(f"error: {edited}")
    assert "edited while train ran: DVC would note the new" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "body",
    [
        f"edit('{CODE}', 'import', 'import ')",
        "edit('params.yaml', '  columns: 10', '  columns: 11')",
    ],
    ids=["code", "parameters"],
)
def test_code_and_parameters_of_others_may_be_edited(project: Path, body: str) -> None:
    assert run_stage(project, body) == (0, "")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, ""),
        ("os.kill(os.getpid(), signal.SIGINT)", 130, "interrupted\n"),
        ("open('nowhere/file')", 1, "error: nowhere/file: No such file or directory\n"),
        ("Path('/dev/full').write_text('x')", 1, "error: No space left on device\n"),
    ],
    ids=["term", "ctrl-c", "no folder", "full disk"],
)
def test_status_and_line_say_why_it_ended(project: Path, body: str, status: int, said: str) -> None:
    assert run_stage(project, body) == (status, said)


def test_the_code_of_another_checkout_is_refused(project: Path) -> None:
    status, said = run_stage(project, "assert False", source=f"{ROOT / 'src'}:.")
    assert status == 1
    assert said.count("\n") == 1
    assert "not from this checkout's" in said


def test_a_stage_asked_for_its_help_runs_nothing() -> None:
    done = run(sys.executable, "-m", "stages.train", "--help", cwd=ROOT)
    assert done.returncode == 1
    assert "train takes no arguments" in done.stderr
    assert "params.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1
