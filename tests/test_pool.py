import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from celeba_vae.pool import available_workers, ordered_map
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT, fail_at_three, slow_square, wait_for_end


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers: int) -> None:
    results = ordered_map(
        slow_square, range(12), workers=workers, total=12, label="test", unit="numbers"
    )
    assert list(results) == [number * number for number in range(12)]


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    results = ordered_map(
        fail_at_three, range(50), workers=2, total=50, label="test", unit="numbers"
    )
    with pytest.raises(ValueError, match="three"):
        list(results)


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken = []

    def endless() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    results = ordered_map(slow_square, endless(), workers=2, total=9, label="test", unit="n")
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 3 + 2 * 2


def test_workers_default_to_the_processors_this_process_may_use() -> None:
    assert available_workers(None) == len(os.sched_getaffinity(0))
    assert available_workers(5) == 5


def kill_yourself(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_is_named() -> None:
    results = ordered_map(kill_yourself, range(9), workers=2, total=9, label="test", unit="numbers")
    with pytest.raises(UserError, match="one of 2 worker processes was killed"):
        list(results)


def test_workers_ignore_the_interrupt_that_their_parent_answers() -> None:
    before = signal.getsignal(signal.SIGINT)
    results = ordered_map(
        interrupt_yourself, range(3), workers=1, total=3, label="test", unit="numbers"
    )
    assert list(results) == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is before


def interrupt_yourself(number: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return number


def test_a_process_whose_parent_is_gone_ends_at_once() -> None:
    code = (
        "from celeba_vae.runtime.processes import die_with_parent;"
        "die_with_parent(1); print('alive')"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, time
from celeba_vae.runtime.errors import UserError
from celeba_vae.pool import ordered_map
def work(n):
    (pathlib.Path({str(tmp_path)!r}) / str(os.getpid())).touch()
    time.sleep(60)
if __name__ == "__main__":
    list(ordered_map(work, range(4), workers=2, total=4, label="x", unit="n"))
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([sys.executable, script], env=env, stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 60
        while len(workers := [p for p in tmp_path.iterdir() if p.name.isdigit()]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        parent.send_signal(signal.SIGKILL)
    for worker in workers:
        wait_for_end(int(worker.name))
