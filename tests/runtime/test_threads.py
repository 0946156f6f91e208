"""A parallel map over threads."""

import os
import time

import pytest

from celeba_vae.runtime.threads import threaded_map
from tests.support import fail_at_three, slow_square


def test_results_come_in_the_order_of_the_tasks() -> None:
    assert threaded_map(slow_square, range(7)) == [0, 1, 4, 9, 16, 25, 36]


def test_after_an_error_the_rest_is_not_done() -> None:
    done = []

    def work(number: int) -> int:
        time.sleep(0.01)
        done.append(number)
        return fail_at_three(number)

    with pytest.raises(ValueError, match="three"):
        threaded_map(work, range(1000))
    assert len(done) < 10 + 4 * len(os.sched_getaffinity(0))
