"""What the stages of a run say around their work: which of how many it is, how long each took."""

import json
import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from celeba_vae.runtime.files import write_bytes
from celeba_vae.runtime.strict_yaml import read_yaml

# When each stage began and ended last, in seconds since 1970. Here and not in the shared scratch
# folder, for each experiment that DVC runs elsewhere has its own stages.
_TIMES = Path("data/scratch/times.json")
_WIDTH = 100


@contextmanager
def announced(stage: str) -> Iterator[None]:
    """Say before the block which stage DVC runs, and how long it took once it has ended well.

    Behind the last of dvc.yaml's stages stands what each of this run has taken. Outside of DVC
    nothing is said: a stage alone is none of several.
    """
    if "DVC_STAGE" not in os.environ:
        yield
        return
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    place = [*stages].index(stage) + 1
    print(f"\nStage {place} of {len(stages)}, {stage}: {stages[stage]['desc']}", flush=True)
    began = time.time()
    yield
    times = _read_times() | {stage: (began, time.time())}
    write_bytes(_TIMES, json.dumps(times).encode())
    print(f"{stage}: done in {_duration(times[stage])}", flush=True)
    if place == len(stages):
        run = psutil.Process(os.getppid()).create_time()
        print(_overview(times, run), flush=True)


def _overview(times: dict[str, tuple[float, float]], run: float) -> str:
    """Return how long each stage took that began after `run`, and how long it is since then."""
    parts = [f"{name} {_duration(span)}" for name, span in times.items() if span[0] >= run]
    whole = _duration((run, max(end for _, end in times.values())))
    # No line ends between a stage and its time.
    listed = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
    return "\n" + textwrap.fill(f"All done in {whole}: {listed}", _WIDTH)


def _read_times() -> dict[str, tuple[float, float]]:
    try:
        return dict(json.loads(_TIMES.read_bytes()))
    except (FileNotFoundError, ValueError):  # the first stage, or a disk that was full
        return {}


def _duration(span: tuple[float, float]) -> str:
    """Return the length of a span of time in words: 48 s, 3 min 12 s, 2 h 5 min."""
    seconds = round(span[1] - span[0])
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
