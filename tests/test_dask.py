"""Tasks sent to a real Dask scheduler with real workers, all on 127.0.0.1."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest
from distributed import Client

import celeba_vae.pool
from celeba_vae.faces.synthetic import write_dataset
from celeba_vae.params import load_params
from celeba_vae.pool import ordered_map
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.write import write_shards
from tests.support import ROOT, fail_at_three, run, slow_square

# Schedulers and workers are processes of their own; starting them takes most of a minute.
pytestmark = pytest.mark.slow

PREPARE = load_params(ROOT / "params.yaml", ["prepare.size=32", "prepare.shard_images=20"]).prepare
PATHS = os.pathsep.join((str(ROOT / "src"), str(ROOT)))


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@contextmanager
def started(*words: str, pythonpath: str = PATHS) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of Dask until the block ends."""
    command = (sys.executable, "-m", *words)
    env = os.environ | {"PYTHONPATH": pythonpath}
    with subprocess.Popen(
        command, env=env, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Run a scheduler on a free port and give its address."""
    file = folder / "scheduler.json"
    options = (
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    with started("distributed.cli.dask_scheduler", *options):
        address = ""
        while not address:
            time.sleep(0.05)
            if file.exists() and (text := file.read_text()).endswith("}"):
                address = json.loads(text)["address"]
        yield address


@contextmanager
def workers(
    address: str, number: int, *, threads: int = 1, pythonpath: str = PATHS
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run workers until the block ends; the scheduler knows them when it begins."""
    words = ("distributed.cli.dask_worker", address, "--no-dashboard", "--no-nanny")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started(*words, "--nthreads", str(threads), pythonpath=pythonpath))
            for _ in range(number)
        ]
        with Client(address, set_as_default=False) as client:
            while len(client.nthreads()) != number:
                time.sleep(0.05)
        yield processes


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with scheduler(tmp_path_factory.mktemp("cluster")) as address, workers(address, 2):
        yield address


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler of the test's own, without workers."""
    with scheduler(tmp_path) as address:
        yield address


def mapped(function: Callable[[int], int], numbers: Iterable[int], address: str) -> Iterator[int]:
    return ordered_map(
        function, numbers, workers=None, scheduler=address, total=9, label="test", unit="numbers"
    )


def squares(address: str, numbers: int) -> Iterator[int]:
    return mapped(slow_square, range(numbers), address)


def refused(results: Iterator[int]) -> str:
    with pytest.raises(UserError) as error:
        list(results)
    assert "\n" not in str(error.value)
    return str(error.value)


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for name in ("_ANSWER_SECONDS", "_WORKERS_SECONDS", "_CHECK_SECONDS"):
        monkeypatch.setattr(celeba_vae.pool, name, seconds)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_results_come_in_order_and_an_error_reaches_the_caller(cluster: str) -> None:
    assert list(squares(cluster, 40)) == [number * number for number in range(40)]
    with pytest.raises(ValueError, match="three"):
        list(mapped(fail_at_three, range(50), cluster))


def test_tasks_are_taken_as_they_are_needed(cluster: str) -> None:
    taken = []

    def endless() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    results = mapped(slow_square, endless(), cluster)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 3 + 2 * 2  # two for each of the two workers
    del results  # what is under way is forgotten
    assert list(squares(cluster, 3)) == [0, 1, 4]


def test_faces_and_shards_have_the_same_bytes_as_local_ones(cluster: str, tmp_path: Path) -> None:
    for place, address in (("local", None), ("cluster", cluster)):
        raw, shards = tmp_path / place / "raw", tmp_path / place / "shards"
        write_dataset(raw, images=40, seed=3, workers=2, scheduler=address)
        write_shards(raw, shards, params=PREPARE, workers=2, scheduler=address)
    local, other = (contents(tmp_path / place) for place in ("local", "cluster"))
    assert len(local) == 6 + 4 + 2  # raw files, shards, index and manifest
    assert other == local


def test_same_bytes_although_a_worker_is_killed_half_way(empty: str, tmp_path: Path) -> None:
    write_dataset(tmp_path / "raw", images=40, seed=3, workers=2)
    # Large squares make many tasks of few images: five in a task.
    params = PREPARE.model_copy(update={"size": 512, "shard_images": 10})
    write_shards(tmp_path / "raw", tmp_path / "local", params=params, workers=2)
    half_way = []

    with workers(empty, 2) as (victim, _):

        def kill_when_the_first_shard_stands() -> None:
            while not list((tmp_path / "cluster").glob("train-00000-*.npy")):
                time.sleep(0.005)
            victim.kill()
            half_way.append(not (tmp_path / "cluster/manifest.json").exists())

        killer = threading.Thread(target=kill_when_the_first_shard_stands)
        killer.start()
        write_shards(
            tmp_path / "raw", tmp_path / "cluster", params=params, workers=None, scheduler=empty
        )
        killer.join()
        assert victim.wait() == -signal.SIGKILL
    assert half_way == [True]
    assert contents(tmp_path / "cluster") == contents(tmp_path / "local")


def test_workers_that_go_away_are_reported(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 1)
    results = squares(empty, 3)
    assert f"run.scheduler = {empty}: the scheduler has no workers; start some" in refused(results)
    with workers(empty, 4):
        assert "4 workers died over the same task" in refused(mapped(die, range(1), empty))
    with workers(empty, 1) as (only,):
        results = squares(empty, 300)
        assert next(results) == 0
        only.kill()
        assert "the scheduler has no workers" in refused(results)


def test_a_scheduler_that_goes_away_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 1)
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(tmp_path))
        stack.enter_context(workers(address, 1))
        results = squares(address, 300)
        assert next(results) == 0
        stack.pop_all().close()
        assert "the scheduler has gone away" in refused(results)


def test_workers_that_would_not_compute_the_same_are_refused(empty: str, tmp_path: Path) -> None:
    # Where the package is installed, another of its name goes before it.
    (tmp_path / "celeba_vae").mkdir()
    (tmp_path / "celeba_vae/__init__.py").write_text("raise ImportError('none here')")
    with workers(empty, 1, pythonpath=str(tmp_path)):
        assert "cannot import celeba_vae (" in refused(squares(empty, 3))
    shutil.copytree(ROOT / "src", tmp_path / "src")
    with (tmp_path / "src/celeba_vae/pool.py").open("a") as code:
        code.write("# a little different\n")
    with workers(empty, 1, pythonpath=str(tmp_path / "src")):
        message = refused(squares(empty, 3))
        assert re.search(r"worker tcp://\S+ has celeba_vae \w{12}, not \w{12};", message)
    with workers(empty, 1, threads=2):
        assert "has 2 threads; start it with `--nthreads 1" in refused(squares(empty, 3))


def test_an_address_without_a_dask_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        no_answer = f"run.scheduler = {address}: no Dask scheduler answers there (TimeoutError)"
        assert no_answer in refused(squares(address, 3))
    assert no_answer in refused(squares(address, 3))  # nothing listens any more


def test_an_address_of_another_service_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2 and more than Dask reads as a length\r\n")
                connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert "no Dask scheduler answers there" in refused(squares(address, 3))
        thread.join()


@pytest.mark.parametrize(
    "address", ["localhost:8786", "tcp://host", "http://host:1", "tcp://a:65536", "tcp://:1", "''"]
)
def test_a_malformed_address_is_refused_with_the_parameters(address: str) -> None:
    with pytest.raises(UserError, match=r"run\.scheduler = .* give tcp://host:port") as error:
        load_params(ROOT / "params.yaml", [f"run.scheduler={address}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("address", ["tcp://host.example.org:8786", "tcp://[::1]:1"])
def test_an_address_is_taken(address: str) -> None:
    assert load_params(ROOT / "params.yaml", [f"run.scheduler={address}"]).run.scheduler == address


SCRIPT = """
import sys
from celeba_vae.runtime.errors import UserError
from celeba_vae.pool import ordered_map
{}
try:
    results = ordered_map(
        abs, range(-9, 0), workers=1, scheduler={!r}, total=9, label="test", unit="numbers"
    )
    print(list(results))
except UserError as error:
    sys.exit(f"error: {{error}}")
"""


def test_dask_is_needed_only_for_a_cluster(tmp_path: Path) -> None:
    code = SCRIPT.format("sys.modules['distributed'] = None  # as if not installed", "tcp://host:1")
    done = run(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": PATHS})
    assert done.returncode == 1
    assert done.stderr.startswith("error: run.scheduler = tcp://host:1: ")
    assert "`pip install -e '.[dask]'`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_dask_prints_nothing(cluster: str, tmp_path: Path) -> None:
    code = SCRIPT.format("", cluster)
    done = run(sys.executable, "-c", code, cwd=tmp_path, env={"PYTHONPATH": PATHS})
    assert done.stdout == "[9, 8, 7, 6, 5, 4, 3, 2, 1]\n"
    assert all(line.startswith("test: ") for line in re.split("[\r\n]", done.stderr) if line)
