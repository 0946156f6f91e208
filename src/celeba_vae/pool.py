"""Spread independent tasks over processes, with a progress bar and an ordered result."""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

from celeba_vae.progress import progress_bar

# <linux/prctl.h>: the signal a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_workers(workers: int | None) -> int:
    """Return `workers`, or the number of processors this process may use if it is None."""
    return workers or len(os.sched_getaffinity(0))


def ordered_map(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int | None,
    total: int,
    label: str,
    unit: str,
    size: Callable[[Task], int] = lambda task: 1,
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in the order of the tasks, worked on in parallel.

    Results come in order whatever the number of workers, so what is written from them has the
    same bytes. At most two tasks a worker are under way: memory does not grow with their number.
    The bar counts up to `total` in `unit`, `size(task)` at a time.
    """
    count = available_workers(workers)
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker) as executor,
        progress_bar(total, label=label, unit=unit) as bar,
    ):
        try:
            for task, result in _windowed(executor, function, tasks, window=2 * count):
                bar.update(size(task))
                yield result
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that is killed cannot tell its workers to stop; the kernel can.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _windowed(
    executor: Executor,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    window: int,
) -> Iterator[tuple[Task, Result]]:
    remaining = iter(tasks)
    pending: deque[tuple[Task, Future[Result]]] = deque(
        (task, executor.submit(function, task)) for task in islice(remaining, window)
    )
    while pending:
        task, future = pending.popleft()
        result = future.result()
        for following in islice(remaining, 1):
            pending.append((following, executor.submit(function, following)))
        yield task, result
