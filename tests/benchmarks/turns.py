"""Contenders that are measured by turns, each in a process of its own.

By turns, because a machine that others use as well has fast and slow minutes; in processes of their
own, because each has its libraries and threads. A contender waits while another one works.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tests.support import ROOT


class Contender(Protocol):
    """What is measured.

    Attributes:
        ready: what it says of itself once, such as "parameters" and "notes".
    """

    ready: dict[str, Any]

    def round(self, number: int) -> dict[str, Any]:
        """Do the work once more and return what was found; numbers count from 1."""
        ...


def serve(make: Callable[[], Contender]) -> None:
    """Be a contender: answer each line of standard input with a round of work.

    The first round, which compiles, is done before.
    """
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    begin = time.perf_counter()
    contender = make()
    contender.round(1)
    print(
        json.dumps(contender.ready | {"seconds": time.perf_counter() - begin}),
        file=answers,
        flush=True,
    )
    for number, _ in enumerate(sys.stdin, start=2):
        begin = time.perf_counter()
        found = contender.round(number)
        seconds = time.perf_counter() - begin
        print(json.dumps({"seconds": seconds} | found), file=answers, flush=True)


def take_turns(
    commands: Mapping[str, list[str]], rounds: int
) -> tuple[dict[str, dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Let contenders work by turns.

    Args:
        commands: arguments of Python for each contender; the command must call `serve`. They are
            started one after another, so a later one may read what an earlier one has left.
        rounds: how often each one works.

    Returns:
        What each said of itself, and what it found in each round, "seconds" among it.
    """
    workers: dict[str, subprocess.Popen[str]] = {}
    ready: dict[str, dict[str, Any]] = {}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    try:
        for name, command in commands.items():
            workers[name] = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=os.environ
                | {"PYTHONPATH": f"{ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            ready[name] = _answer(workers[name], name)
        for _ in range(rounds):
            for name, worker in workers.items():
                assert worker.stdin is not None
                worker.stdin.write("\n")
                worker.stdin.flush()
                found[name].append(_answer(worker, name))
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()
    return ready, found


def median_of(found: list[dict[str, Any]], key: str = "seconds") -> float:
    """Return the median of a figure over the rounds."""
    return float(statistics.median(one[key] for one in found))


def ratio(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> float:
    """Return how many times as long as the second the first takes: the median over the rounds."""
    pairs = zip(first, second, strict=True)
    return float(statistics.median(one["seconds"] / other["seconds"] for one, other in pairs))


def _answer(worker: "subprocess.Popen[str]", name: str) -> dict[str, Any]:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        sys.exit(f"error: {name} ended with status {worker.wait()}, see above")
    found: dict[str, Any] = json.loads(line)
    return found
