"""What the stages of a run say around their work: which of how many it is, how long each took."""

import json
import os
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from celeba_vae.runtime.files import write_bytes
from celeba_vae.runtime.processes import start_ticks
from celeba_vae.runtime.strict_yaml import read_yaml

# Of each stage the run that it belonged to last, and when it began and ended, in seconds. Not in
# the scratch folder that experiments share: each of them has its own stages.
_TIMES = Path("data/scratch/times.json")
_WIDTH = 100


class _Span(BaseModel):
    run: str
    began: float
    ended: float


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
    ended = time.time()
    print(f"{stage}: done in {in_words(ended - began)}", flush=True)
    # DVC, the parent of all stages of a run.
    run = f"{os.getppid()} {start_ticks(os.getppid())}"
    times = _read_times() | {stage: {"run": run, "began": began, "ended": ended}}
    write_bytes(_TIMES, json.dumps(times).encode())
    if place == len(stages):
        spans = {name: time for name, time in times.items() if time["run"] == run}
        print(_overview(spans), flush=True)


def in_words(seconds: float) -> str:
    """Return a length of time in words: 48 s, 3 min 12 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _overview(spans: dict[str, Any]) -> str:
    """Return how long the stages of a run took, in all and each."""
    first = min(span["began"] for span in spans.values())
    last = max(span["ended"] for span in spans.values())
    parts = (f"{name} {in_words(span['ended'] - span['began'])}" for name, span in spans.items())
    # No line ends between a stage and its time.
    listed = ", ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)
    return "\n" + textwrap.fill(f"All done in {in_words(last - first)}: {listed}", _WIDTH)


def _read_times() -> dict[str, Any]:
    try:
        times = TypeAdapter(dict[str, _Span]).validate_json(_TIMES.read_bytes())
    except (FileNotFoundError, ValidationError):  # What is damaged costs a line of times.
        return {}
    return {name: span.model_dump() for name, span in times.items()}
