"""Parallel map over threads, for functions that spend their time in NumPy."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def threaded_map(function: Callable[[Task], Answer], tasks: Iterable[Task]) -> list[Answer]:
    """Return `function(task)` for each task, in their order, with a thread for each processor.

    NumPy lets other threads run while it computes. How many there are changes no bit, as long as
    no task writes what another one reads, and what is drawn at random is drawn before.
    """
    executor = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        return list(executor.map(function, tasks))
    finally:
        executor.shutdown(cancel_futures=True)  # after an error or Ctrl-C the rest is not done
