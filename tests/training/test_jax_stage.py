"""The stage on JAX, as a process: killed, asked to stop, and used by the stages behind it."""

import json
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.stress.resume import (
    kill_until,
    outs_of,
    prepare_project,
    start_training,
    train_to_the_end,
    wait_for_training,
)
from tests.support import own_environment, run, succeed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jax")
    return prepare_project(folder, "train.backend=jax", "train.epochs=8")


@pytest.fixture(scope="module")
def expected(project: Path) -> dict[str, bytes]:
    return train_to_the_end(project)


def test_killed_it_ends_in_the_same_bytes(project: Path, expected: dict[str, bytes]) -> None:
    kill_until(project, times=3, seed=3, expected=expected, life=25)


def test_asked_to_stop_it_saves_and_goes_on_later(
    project: Path, expected: dict[str, bytes]
) -> None:
    shutil.rmtree(project / "data/scratch", ignore_errors=True)
    with start_training(project) as process:
        wait_for_training(process)
        assert process.stderr is not None
        for line in process.stderr:
            if "train:" in line:
                break
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 143, errors
    assert "; the same command goes on from there" in errors
    command = [sys.executable, "-X", "importtime", "-m", "stages.train"]
    done = run(*command, cwd=project, env=own_environment(project))
    assert done.returncode == 0, done.stderr
    assert "Training goes on at" in done.stdout
    assert outs_of(project) == expected
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "jax" in imported
    assert "tensorflow" not in imported


def test_later_stages_and_other_backends_follow(project: Path, expected: dict[str, bytes]) -> None:
    out = succeed("dvc", "repro", "generate", cwd=project, timeout=600)
    assert "Running stage 'zpoints'" in out
    assert outs_of(project) == expected
    figures = json.loads((project / "data/metrics/generate.json").read_text())
    assert figures["mse_mean"] > 0
    out = succeed(
        "dvc", "exp", "run", "-S", "train.backend=tensorflow", "train", cwd=project, timeout=600
    )
    assert "Training starts afresh: changed since the last fit" in out
    assert "train.backend: jax, now tensorflow" in out
