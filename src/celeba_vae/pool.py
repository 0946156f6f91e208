"""Spread independent tasks over processes, with a progress bar and an ordered result."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from celeba_vae.errors import UserError
from celeba_vae.processes import die_with_parent
from celeba_vae.progress import progress_bar

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

    Raises:
        UserError: a worker was killed.
    """
    count = available_workers(workers)
    with _processes(count) as executor, progress_bar(total, label=label, unit=unit) as bar:
        for task, result in _windowed(executor, function, tasks, window=2 * count):
            bar.update(size(task))
            yield result


@contextmanager
def _processes(count: int) -> Iterator[Executor]:
    with ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=die_with_parent,
        initargs=(os.getpid(),),
    ) as executor:
        try:
            with _interrupts_ignored():
                # The first task starts all workers.
                executor.submit(os.getpid)
            yield executor
        except BrokenProcessPool:
            raise UserError(
                f"one of {count} worker processes was killed, perhaps for want of memory; "
                "a smaller run.workers needs less"
            ) from None
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    # Ctrl-C reaches every process of the terminal, but only the parent answers it. A process that
    # is started while it is ignored goes on ignoring it. Only the main thread can say so.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
