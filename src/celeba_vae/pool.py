"""Parallel map over processes, on this machine or a Dask cluster, with results in order."""

import asyncio
import hashlib
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.processes import die_with_parent
from celeba_vae.runtime.progress import progress_bar

# Seconds that a scheduler may take to answer; that it may be without any worker, because one is
# being started (a restarted one is back after about five); and between two looks whether it is.
_ANSWER_SECONDS = 5.0
_WORKERS_SECONDS = 10.0
_CHECK_SECONDS = 5.0

# The packages that decide the bytes of a result, and the one that carries tasks to a cluster.
_DECISIVE = ("numpy", "pillow", "simplejpeg", "opencv-python-headless", "distributed")

Task = TypeVar("Task")
Answer = TypeVar("Answer")


class _Crew(NamedTuple):
    """Who works: where to hand in tasks, how many workers, a check that there still are any."""

    executor: Executor
    workers: int
    check: Callable[[], None]


def available_workers(workers: int | None) -> int:
    """Return `workers`, or the number of processors this process may use if it is None."""
    return workers or len(os.sched_getaffinity(0))


def ordered_map(
    function: Callable[[Task], Answer],
    tasks: Iterable[Task],
    *,
    workers: int | None,
    scheduler: str | None = None,
    total: int,
    label: str,
    unit: str,
    size: Callable[[Task], int] = lambda task: 1,
) -> Iterator[Answer]:
    """Yield `function(task)` for each task, in the order of the tasks, worked on in parallel.

    Results come in order whoever works, so what is written from them has the same bytes. At most
    two tasks a worker are under way: memory does not grow with their number.

    Args:
        function: what to do; a worker process must be able to import it.
        tasks: taken as they are needed.
        workers: processes on this machine; None for one on each processor.
        scheduler: address of a Dask scheduler, tcp://host:port, whose workers do the work
            instead; a task whose worker dies is given to another. None: this machine works.
        total: what the sizes of all tasks add up to.
        label: what the progress bar is called.
        unit: what it counts.
        size: how many of them a task is.

    Raises:
        UserError: a worker on this machine was killed; or Dask is not installed, or its scheduler
            does not answer, goes away, or has no workers that would compute the same bytes as
            this process.
    """
    crew_at_work = _cluster(scheduler) if scheduler else _processes(available_workers(workers))
    with crew_at_work as crew, progress_bar(total, label=label, unit=unit) as bar:
        for task, result in _windowed(crew, function, tasks):
            bar.update(size(task))
            yield result


@contextmanager
def _processes(count: int) -> Iterator[_Crew]:
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
            # No check: an executor that loses a process says so itself.
            yield _Crew(executor, count, check=lambda: None)
        except BrokenProcessPool:
            raise UserError(
                f"one of {count} worker processes was killed, perhaps for lack of memory; "
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


@contextmanager
def _cluster(address: str) -> Iterator[_Crew]:
    place = f"run.scheduler = {address}"
    try:
        import dask
        from distributed import Client, KilledWorker, rpc
    except ModuleNotFoundError as error:
        raise UserError(
            f"{place}: {error}; `pip install -e '.[dask]'`, or leave run.scheduler empty"
        ) from None
    # What goes wrong is said below, in one line; Dask would add its logs and tracebacks.
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    asyncio.run(_check_answers(rpc, address, place))
    # One image file may have more bytes than Dask sends without a warning.
    with (
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}),
        Client(address, timeout=_ANSWER_SECONDS, set_as_default=False) as client,
    ):
        _check_has_workers(client, place)
        workers = _check_same_code(client, place)
        try:
            # Not pure: Dask would hash all bytes of a task to find an equal one.
            executor = client.get_executor(pure=False)
            yield _Crew(executor, workers, lambda: _check_has_workers(client, place))
        except CancelledError:
            raise UserError(f"{place}: the scheduler has gone away") from None
        except KilledWorker as error:
            raise UserError(
                f"{place}: {error.allowed_failures + 1} workers died over the same task, the "
                f"last on {error.last_worker.address}; their logs and memory limits say why"
            ) from None


async def _check_answers(rpc: Any, address: str, place: str) -> None:
    # Client itself waits forever where a connection is accepted and nothing said.
    try:
        async with rpc(address) as server:
            identity = await asyncio.wait_for(server.identity(), _ANSWER_SECONDS)
        kind = str(identity["type"])
    except Exception as error:  # What another service answers leads to errors of any type.
        kind = type(error).__name__
    if kind != "Scheduler":
        raise UserError(
            f"{place}: no Dask scheduler answers there ({kind}); start `dask scheduler`, or leave "
            "run.scheduler empty"
        )


def _check_has_workers(client: Any, place: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
    except TimeoutError:
        raise UserError(
            f"{place}: the scheduler has no workers; start some, e.g. `dask worker "
            f"{client.scheduler.address} --nthreads 1 --nworkers auto`"
        ) from None
    except OSError:
        raise UserError(f"{place}: the scheduler has gone away") from None


def _check_same_code(client: Any, place: str) -> int:
    """Return the number of workers if all of them would compute what this process would."""
    own = decisive_versions()
    threads = client.nthreads()
    answers = client.run(decisive_versions, on_error="return")
    for worker, answer in sorted(answers.items()):
        if isinstance(answer, Exception):
            raise UserError(
                f"{place}: worker {worker} cannot import celeba_vae ({answer}); start it in the "
                "same environment, with this checkout's src in its PYTHONPATH"
            )
        differing = [
            f"{key} {answer[key]}, not {own[key]}" for key in own if answer[key] != own[key]
        ]
        if differing:
            raise UserError(
                f"{place}: worker {worker} has {' and '.join(differing)}; give it the same "
                "checkout and requirements, or the bytes may differ"
            )
        if threads[worker] > 1:
            # Pillow's warnings, which tell a bomb from an image, are shared by a process' threads.
            raise UserError(
                f"{place}: worker {worker} has {threads[worker]} threads; start it with "
                "`--nthreads 1 --nworkers auto`: reading images is not safe in threads"
            )
    return len(answers)


@cache  # A worker that has loaded the code does not load it again when the files change.
def decisive_versions() -> dict[str, str]:
    """Return what decides the bytes of a result: versions, and a hash of this package's code."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    versions = {name: version(name) for name in _DECISIVE}
    return {"celeba_vae": digest.hexdigest()[:12], **versions}


def _windowed(
    crew: _Crew, function: Callable[[Task], Answer], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Answer]]:
    remaining = iter(tasks)
    pending: deque[tuple[Task, Future[Answer]]] = deque(
        (task, crew.executor.submit(function, task)) for task in islice(remaining, 2 * crew.workers)
    )
    while pending:
        task, future = pending.popleft()
        while not wait((future,), timeout=_CHECK_SECONDS).done:
            crew.check()
        result = future.result()
        for following in islice(remaining, 1):
            pending.append((following, crew.executor.submit(function, following)))
        yield task, result
