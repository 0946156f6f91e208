"""Measurements of configurations, and the largest batch for a given memory."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from celeba_vae.params import Params
from celeba_vae.profiling.cases import Case
from celeba_vae.profiling.measuring import Measured, measure
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.progress import progress_bar

# Times that a batch size is tried for each limit: the first guess is a straight line's.
_TRIES = 4
# Of the batches that are tried for a limit, whose steps take seconds.
_STEPS_OF_LARGE = 2
# What a machine needs beside the training that fills its memory.
_SPARE = 1.5e9


class MeasuredCase(NamedTuple):
    """A configuration, and what a step took with it."""

    case: Case
    measured: Measured


class LargestBatch(NamedTuple):
    """The largest batch within a limit, and the memory it was seen to take (None: not tried)."""

    limit: float
    batch: int
    memory: int | None


def measure_cases(cases: Sequence[Case], *, steps: int, rounds: int) -> list[MeasuredCase]:
    """Measure every case `rounds` times, in turns, so that other load meets all of them.

    Args:
        cases: the configurations.
        steps: timed steps in each round.
        rounds: how often each is measured; times are of all rounds, memory the largest.

    Raises:
        UserError: a case cannot be measured.
    """
    seen: list[list[Measured]] = [[] for _ in cases]
    with progress_bar(rounds * len(cases), label="profile", unit="measurements") as bar:
        for _ in range(rounds):
            for case, found in zip(cases, seen, strict=True):
                bar.set_postfix_str(case.name)
                found.append(
                    measure(
                        case.params, steps=steps, optimizer=case.optimizer, recompute=case.recompute
                    )
                )
                bar.update()
    return [MeasuredCase(case, _together(found)) for case, found in zip(cases, seen, strict=True)]


def largest_batches(
    rows: Sequence[MeasuredCase], limits: Sequence[float], *, free: float
) -> list[LargestBatch]:
    """Return the largest batch of each limit, for one configuration at several batch sizes.

    Memory grows along a straight line with the batch, but for what the allocator rounds up: the
    line through the rows is the first guess, which is then measured, and corrected where it took
    more than the limit.

    Args:
        rows: the same configuration with at least two batch sizes.
        limits: bytes.
        free: bytes that can be had here; a limit beyond it is answered by the line alone.
    """
    sizes = {row.case.params.train.batch_size: row.measured.memory for row in rows}

    def tried(batch: int) -> int:
        params = _with_batch(rows[0].case.params, batch)
        return measure(params, steps=_STEPS_OF_LARGE, optimizer="adam", recompute=False).memory

    with progress_bar(len(limits), label="largest batches", unit="limits") as bar:
        found = []
        for limit in limits:
            found.append(largest_batch(sizes, limit, tried if limit + _SPARE < free else None))
            bar.update()
    return found


def largest_batch(
    sizes: Mapping[int, int], limit: float, tried: Callable[[int], int] | None
) -> LargestBatch:
    """Return the largest batch within a limit, see `largest_batches`.

    Args:
        sizes: bytes by batch size; at least two.
        limit: bytes.
        tried: measures the bytes of a batch size; None where the limit cannot be tried.
    """
    per_image, base = statistics.linear_regression(list(sizes), list(sizes.values()))
    batch = math.floor((limit - base) / per_image)
    if tried is None or batch < 1:
        return LargestBatch(limit, max(batch, 0), None)
    for _ in range(_TRIES):
        memory = tried(batch)
        if memory <= limit:
            return LargestBatch(limit, batch, memory)
        batch = max(1, math.floor(batch - (memory - limit) / per_image) - 1)
    raise UserError(
        f"no batch size within {limit / 1e9:g} GB was found: batch {batch} took "
        f"{memory / 1e9:.2f} GB"
    )


def _together(found: Sequence[Measured]) -> Measured:
    peaks = [each.device_peak for each in found if each.device_peak is not None]
    return replace(
        found[0],
        seconds=tuple(second for each in found for second in each.seconds),
        peak=max(each.peak for each in found),
        file_backed=max(each.file_backed for each in found),
        device_peak=max(peaks) if peaks else None,
    )


def _with_batch(params: Params, batch: int) -> Params:
    return params.model_copy(
        update={"train": params.train.model_copy(update={"batch_size": batch})}
    )
