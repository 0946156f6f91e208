"""Trainings that are killed, asked to stop, disturbed or kept from writing, as processes."""

import ctypes
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeba_vae.verify.tiny_params import set_params
from tests.stress.resume import (
    kill_until,
    outs_of,
    prepare_project,
    start_training,
    train_to_the_end,
    wait_for_training,
)
from tests.support import activated, children, own_environment, run, succeed, wait_for_end


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_project(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def expected(project: Path) -> dict[str, bytes]:
    """What the training of the project ends in when nobody disturbs it."""
    return train_to_the_end(project)


@pytest.fixture
def fresh(project: Path, expected: dict[str, bytes]) -> Iterator[Path]:
    """The project without states and model, restored afterwards."""
    shutil.rmtree(project / "data/scratch", ignore_errors=True)
    shutil.rmtree(project / "data/model", ignore_errors=True)
    yield project
    run("git", "checkout", "-q", "--", "src", cwd=project)
    set_params(project, "train.epochs=12")


def states(project: Path) -> list[Path]:
    return sorted(project.glob("data/scratch/train/*/state-*.npz"))


def train(project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.train"]
    return run(*command, cwd=project, env=own_environment(project))


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_in_the_same_bytes(
    fresh: Path, expected: dict[str, bytes], times: int
) -> None:
    kill_until(fresh, times=times, seed=2, expected=expected)


def test_asked_to_stop_it_saves_and_goes_on_later(fresh: Path, expected: dict[str, bytes]) -> None:
    # So that only the signal makes it save.
    set_params(fresh, "run.checkpoint_steps=1000000")
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with start_training(fresh) as process:
            said = wait_for_training(process)
            wait_for_steps(process)
            if number == signal.SIGTERM:
                a_second_training_is_refused(fresh, process)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        assert ("goes on at epoch" in said) == (number == signal.SIGINT)
        assert process.returncode == status
        assert "; the same command goes on from there" in errors
        assert "Traceback" not in errors
        assert len(states(fresh)) >= 1
        assert not (fresh / "data/model").exists()
    done = train(fresh)
    assert "Training goes on at epoch" in done.stdout
    assert outs_of(fresh) == expected


def a_second_training_is_refused(project: Path, first: "subprocess.Popen[str]") -> None:
    """Start the same training again, while the first one, which lasts seconds, stands still."""
    first.send_signal(signal.SIGSTOP)
    second = train(project)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert f"process {first.pid} is training there with the same parameters" in second.stderr
    assert len([line for line in second.stderr.splitlines() if "error: " in line]) == 1


def wait_for_steps(process: "subprocess.Popen[str]") -> None:
    """Read what a training says until it takes its steps."""
    assert process.stderr is not None
    for line in process.stderr:
        if "Losses in nats" in line:
            return


# In `tests/pipeline/test_runner.py` stages are edited that need no TensorFlow.
@pytest.mark.slow
@pytest.mark.parametrize("edited", ["src/celeba_vae/model/decoder.py", "params.yaml"])
def test_what_is_edited_while_it_trains_makes_it_fail(fresh: Path, edited: str) -> None:
    with start_training(fresh) as process:
        wait_for_training(process)
        if edited == "params.yaml":
            set_params(fresh, "train.epochs=13")
        else:
            with (fresh / edited).open("a") as file:
                file.write("# edited\n")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"{edited}" in errors
    assert "edited while train ran: DVC would note the new" in errors


@pytest.mark.slow
def test_parameters_of_others_may_be_edited_while_it_trains(
    fresh: Path, expected: dict[str, bytes]
) -> None:
    with start_training(fresh) as process:
        wait_for_training(process)
        set_params(fresh, "generate.rows=3")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert outs_of(fresh) == expected


def obey_permissions() -> None:
    """Give up what lets root write anywhere (CAP_DAC_OVERRIDE), from the next exec on."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.slow
def test_outs_that_cannot_be_written_cost_no_training(
    fresh: Path, expected: dict[str, bytes]
) -> None:
    (fresh / "data/model").mkdir()
    (fresh / "data/model").chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-m", "stages.train"],
        cwd=fresh,
        env=own_environment(fresh),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_permissions,
    )
    (fresh / "data/model").chmod(0o755)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert "data/model" in errors[0]
    assert "Permission denied" in errors[0]
    again = train(fresh)
    assert "All 12 epochs are done already" in again.stdout
    assert outs_of(fresh) == expected


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_state(fresh: Path, expected: dict[str, bytes]) -> None:
    with start_training(fresh) as process:
        wait_for_training(process)
        while not states(fresh):
            assert process.poll() is None
        process.kill()
    before = states(fresh)
    # No file may grow beyond 8 KB, which is less than a state: like a disk that is full.
    limited = f"ulimit -f 8; exec {sys.executable} -m stages.train"
    done = run("bash", "-c", limited, cwd=fresh, env=own_environment(fresh))
    assert done.returncode == 1
    assert len([line for line in done.stderr.splitlines() if "error: " in line]) == 1
    assert "Traceback" not in done.stderr
    assert states(fresh) == before
    assert not list(fresh.glob("data/scratch/train/*/.part*"))
    train(fresh)
    assert outs_of(fresh) == expected


def test_a_stage_dies_with_its_dvc_and_ends_in_the_same_bytes_when_run_again(
    fresh: Path, expected: dict[str, bytes]
) -> None:
    # Where SHELL is not set, as in many CI systems, DVC takes /bin/sh, and not every sh replaces
    # itself by the last command it runs.
    environment = activated()
    environment.pop("SHELL", None)
    with subprocess.Popen(
        ["dvc", "repro", "train"],
        cwd=fresh,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as dvc:
        wait_for_training(dvc)
        while len(states(fresh)) < 2:
            assert dvc.poll() is None
        (stage,) = children(dvc.pid)
        dvc.kill()
        assert dvc.stdout is not None
        dvc.stdout.read()  # ends when the stage has ended
    wait_for_end(stage)
    assert len(states(fresh)) >= 1
    assert not (fresh / "data/model/vae.weights.h5").exists()
    first = run("dvc", "repro", "train", cwd=fresh)
    if first.returncode:  # it found the lock of the dead process
        assert "busy" in first.stderr
        first = run("dvc", "repro", "train", cwd=fresh)
    assert first.returncode == 0, first.stderr
    assert "Training goes on at epoch" in first.stdout
    assert outs_of(fresh) == expected
    assert "Running stage" not in succeed("dvc", "repro", "train", cwd=fresh)
