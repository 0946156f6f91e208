"""Two processes that train one model: like one, and together to the end, whatever that is."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from celeba_vae.runtime.errors import UserError
from celeba_vae.training.parallel import (
    from_main,
    is_main,
    largest,
    process_count,
    process_group,
)
from celeba_vae.verify.tiny_params import set_params
from tests.stress.resume import outs_of
from tests.support import ROOT, make_project, write_shards
from tests.training.parallel_cases import CASES
from tests.training.test_jax import FAST_TO_COMPILE

QUICK = ("batch norm, short batches",)
COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"
INDEX = "KERAS_DISTRIBUTION_PROCESS_ID"
ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"

Environment = Callable[[int], dict[str, str]]


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("", 0))
        return int(trial.getsockname()[1])


def by_hand() -> Environment:
    """What each of two processes is told, as Keras reads it."""
    address = f"127.0.0.1:{free_port()}"
    return lambda index: {ADDRESS: address, COUNT: "2", INDEX: str(index)}


def by_slurm() -> Environment:
    """What `srun --ntasks 2` tells, and the port that JAX makes of it."""
    job = str(free_port())
    return lambda index: {
        "SLURM_JOB_ID": job,
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


@contextlib.contextmanager
def started(
    *command: str, folders: list[Path], environment: Environment, flags: str = ""
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Run a command in each folder, as one process of those that the environment tells of."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=os.environ
            | {
                "PYTHONPATH": str(folder / "src"),
                "XLA_FLAGS": f"{FAST_TO_COMPILE} {flags}",
                # Tests wait for what a process says while it runs.
                "PYTHONUNBUFFERED": "1",
            }
            | environment(index),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index, folder in enumerate(folders)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ends(processes: list["subprocess.Popen[str]"]) -> list[tuple[int, str]]:
    """Return the statuses, and what was said on both streams."""
    said = [process.communicate(timeout=240)[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def compare(
    cases: tuple[str, ...],
    images: np.ndarray,
    folder: Path,
    *,
    environment: Environment | None = None,
    flags: str = "",
) -> None:
    """Fit cases in one process and in two, and compare what all of them found."""
    np.save(folder / "images.npy", images)
    command = ("tests.training.parallel_cases", str(folder), *cases)
    together = environment or by_hand()
    with (
        started(*command, folders=[ROOT], environment=lambda index: {}) as alone,
        started(*command, folders=[ROOT, ROOT], environment=together, flags=flags) as two,
    ):
        for status, said in ends([*alone, *two]):
            assert status == 0, said
    for case in cases:
        one, first, second = (
            json.loads((folder / f"{case}-{name}.json").read_text())
            for name in ("0-of-1", "0-of-2", "1-of-2")
        )
        assert len(one["losses"]) == 20
        # In bfloat16 what the two processes add up is rounded before: that shows in the length of
        # the gradient (3 percent here), hardly in losses.
        exact = case != "bfloat16"
        assert first["losses"] == pytest.approx(one["losses"], rel=1e-5 if exact else 1e-4)
        for key in ("losses", "history", "kl_per_dimension", "weights"):
            assert first[key] == second[key], (case, key)
        for row, other in zip(first["history"], one["history"], strict=True):
            # Validation is left out with batch norm: see `test_jax.compare_case`.
            lags = case not in ("autoencoder", "no batch norm, short batches")
            assert len(row) == len(other)
            for name, value in row.items():
                if not (lags and name.startswith("val_")):
                    assert value == pytest.approx(other[name], rel=1e-4 if exact else 0.05), name
        if case != "resident" and not flags:  # with several devices a process reads for each
            check_rows(case, first["rows"], second["rows"])


def check_rows(case: str, first: list[list[int]], second: list[list[int]]) -> None:
    """Check that the two processes read each image once an epoch, a batch that is odd both."""
    images = CASES[case][0]
    for epoch in range(4):
        seen: list[int] = []
        for mine, others in zip(
            first[5 * epoch : 5 * epoch + 5], second[5 * epoch : 5 * epoch + 5], strict=True
        ):
            seen += mine if mine == others else mine + others
        assert sorted(seen) == list(range(images)), (case, epoch)


@pytest.mark.slow
def test_two_processes_train_like_one(random_images: np.ndarray, tmp_path: Path) -> None:
    compare(QUICK, random_images, tmp_path)


@pytest.mark.slow
def test_all_kinds_of_models_train_like_in_one_process(
    random_images: np.ndarray, tmp_path: Path
) -> None:
    compare(tuple(case for case in CASES if case not in QUICK), random_images, tmp_path)


@pytest.mark.slow
def test_started_by_slurm_with_two_devices_each(random_images: np.ndarray, tmp_path: Path) -> None:
    compare(
        ("no batch norm, short batches", "resident"),
        random_images,
        tmp_path,
        environment=by_slurm(),
        flags="--xla_force_host_platform_device_count=2",
    )


@pytest.mark.parametrize(
    ("backend", "variables", "said"),
    [
        ("tensorflow", {COUNT: "2"}, f"but 2 were started together ({COUNT})"),
        ("tensorflow", {"SLURM_STEP_NUM_TASKS": "3"}, "but 3 were started together (SLURM_STEP"),
        ("jax", {COUNT: "two"}, f"{COUNT} = 'two' is not a number from 1"),
        ("jax", {COUNT: "9" * 5000}, f"{COUNT} = '{'9' * 60}' is not a number from 1"),
        ("jax", {INDEX: "0"}, f"{COUNT} = '' is not a number from 1"),
        ("jax", {COUNT: "2"}, f"{INDEX} = '' is not a number from 0"),
        ("jax", {COUNT: "2", INDEX: "2"}, f"{INDEX} = 2 must be below {COUNT} = 2"),
        ("jax", {COUNT: "2", INDEX: "1"}, f"{ADDRESS} = '' is not an address"),
        ("jax", {COUNT: "2", INDEX: "1", ADDRESS: "host"}, f"{ADDRESS} = 'host' is not an address"),
        ("jax", {COUNT: "2", INDEX: "1", ADDRESS: "host:0"}, "is not an address: give host:port"),
    ],
)
def test_variables_that_make_no_sense(
    monkeypatch: pytest.MonkeyPatch, backend: str, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught, process_group(backend):
        raise AssertionError
    assert said in str(caught.value)


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for name, value in ((COUNT, "2"), (INDEX, "0"), (ADDRESS, f"127.0.0.1:{port}")):
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=f"port {port} cannot be used"), process_group("jax"):
            raise AssertionError


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COUNT, "1")
    with process_group("tensorflow"):
        assert process_count() == 1
        assert is_main()
        assert largest(3) == 3
        assert from_main(b"state") == b"state"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two copies of the project with shards: the machines share no disk."""
    project = make_project(tmp_path_factory.mktemp("first"))
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8)
    splits = {"train": images[:30], "validation": images[30:36], "test": images[36:]}
    write_shards(project / "data/shards", splits)
    set_params(project, "train.backend=jax", "train.epochs=8", "train.batch_size=8")
    set_params(project, "run.checkpoint_steps=1")
    copy = tmp_path_factory.mktemp("second") / "copy"
    shutil.copytree(project, copy)
    return [project, copy]


def train(folders: list[Path]) -> list[tuple[int, str]]:
    with started("stages.train", folders=folders, environment=by_hand()) as processes:
        return ends(processes)


@pytest.fixture(scope="module")
def expected(folders: list[Path]) -> dict[str, bytes]:
    """What two processes end in that nobody disturbs; the second one writes nothing."""
    (status, said), (other_status, other) = train(folders)
    assert (status, other_status) == (0, 0), said + other
    assert "Training starts afresh" in said
    assert "epoch 8/8: loss" in said
    assert "epoch" not in other
    assert "train:" not in other
    assert not (folders[1] / "data/scratch").exists()
    assert not (folders[1] / "data/model").exists()
    return outs_of(folders[0])


@pytest.fixture
def fresh(folders: list[Path], expected: dict[str, bytes]) -> list[Path]:
    for place in ("data/scratch", "data/model"):
        shutil.rmtree(folders[0] / place, ignore_errors=True)
    return folders


def wait_for_epoch(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2/8" in line:
            return
    raise AssertionError("the training ended before its second epoch did")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_all_and_they_go_on(
    fresh: list[Path], expected: dict[str, bytes], victim: int
) -> None:
    with started("stages.train", folders=fresh, environment=by_hand()) as processes:
        wait_for_epoch(processes[0])
        processes[victim].kill()
        status, said = ends(processes)[1 - victim]
    assert status != 0
    # Without process 0 it is JAX that may be the first to see it, and ends the process itself.
    by_jax = "This most likely indicates that another task died"
    assert "error: another process of this training is gone" in said or (
        victim == 0 and by_jax in said
    ), said
    assert not (fresh[0] / "data/model").exists()
    (status, said), (other_status, other) = train(fresh)
    assert (status, other_status) == (0, 0), said + other
    assert "Training goes on at epoch" in said
    assert outs_of(fresh[0]) == expected


@pytest.mark.slow
def test_any_process_can_be_asked_to_stop(fresh: list[Path], expected: dict[str, bytes]) -> None:
    with started("stages.train", folders=fresh, environment=by_hand()) as processes:
        wait_for_epoch(processes[0])
        processes[1].send_signal(signal.SIGTERM)
        (status, said), (other_status, other) = ends(processes)
    assert (status, other_status) == (143, 143), said + other
    assert "; the same command goes on from there" in said
    assert "saved" not in other
    (status, said), _ = train(fresh)
    assert status == 0, said
    assert "Training goes on at epoch" in said
    assert outs_of(fresh[0]) == expected


@pytest.mark.slow
def test_a_process_that_fails_ends_all(fresh: list[Path]) -> None:
    shard = next((fresh[1] / "data/shards").glob("train-*.npy"))
    with started("stages.train", folders=fresh, environment=by_hand()) as processes:
        wait_for_epoch(processes[0])
        shard.touch()
        (status, said), (other_status, other) = ends(processes)
    assert (status, other_status) == (1, 1), said + other
    assert "error: another process of this training is gone" in said
    assert f"error: data/shards/{shard.name}: the shard changed" in other


@pytest.mark.slow
def test_they_train_the_same_or_not_at_all(fresh: list[Path]) -> None:
    set_params(fresh[1], "model.z_dim=7", "train.epochs=9")
    (status, said), (other_status, other) = train(fresh)
    set_params(fresh[1], "model.z_dim=6", "train.epochs=8")
    assert status != 0
    assert other_status != 0
    assert "error: another process differs from process 0; it says in what" in said
    assert (
        "error: this process differs from process 0: model.z_dim: 6, here 7; epochs: 8, here 9"
        in other
    ) or "another task died" in other
    assert not (fresh[0] / "data/scratch").exists()


@pytest.mark.slow
def test_batches_are_shared_evenly_or_not_at_all(fresh: list[Path]) -> None:
    for folder in fresh:
        set_params(folder, "train.batch_size=7")
    found = train(fresh)
    for folder in fresh:
        set_params(folder, "train.batch_size=8")
    assert all(status != 0 for status, _ in found)
    assert (
        "train.batch_size = 7 cannot be shared evenly by 2 devices: give a multiple of 2"
        in (found[0][1])
    )
