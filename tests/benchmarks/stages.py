"""What DVC and starting up cost around the work of the stages.

    python -m tests.benchmarks.stages

In a copy of the project, with one epoch: each stage without DVC and by `dvc repro`, by turns; how
long `train` takes until its first step is done; `dvc repro` with nothing to do; and the help of the
command line. Printed are medians in seconds.
"""

import argparse
import os
import pty
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from celeba_vae.verify.tiny_params import set_params
from tests.support import copy_project, own_environment, succeed

# The progress bar, once it has counted a step.
FIRST_STEP = re.compile(rb"train: +\d+%\|[^|]*\| [1-9]\d*/")


def seconds(project: Path, *command: str) -> float:
    """Return the time of a command that succeeds, in a project that remembers no training."""
    shutil.rmtree(project / "data/scratch", ignore_errors=True)
    begin = time.perf_counter()
    succeed(*command, cwd=project, timeout=1800)
    return time.perf_counter() - begin


def stage_command(stage: str) -> list[str]:
    """Return the command of a stage without DVC."""
    return [sys.executable, "-m", f"stages.{stage}"]


def until_first_step(project: Path) -> float:
    """Return the seconds from the start of `train` until its progress bar counts a step.

    At a terminal, for elsewhere the bar moves every few seconds.
    """
    shutil.rmtree(project / "data/scratch", ignore_errors=True)
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 100))
    begin = time.perf_counter()
    with subprocess.Popen(
        stage_command("train"), cwd=project, env=own_environment(project), stdout=end, stderr=end
    ) as process:
        os.close(end)
        said = b""
        while not FIRST_STEP.search(said):
            try:
                said += os.read(terminal, 65536)
            except OSError:
                # A terminal that nobody writes to any more.
                sys.exit(f"error: train ended before its first step:\n{said.decode()}")
        taken = time.perf_counter() - begin
        process.kill()
    os.close(terminal)
    return taken


def measure(project: Path, stages: Sequence[str], repeats: int) -> None:
    """Print all figures of a project whose pipeline has run."""
    print(f"{'stage':<14}{'without DVC':>12}{'dvc repro':>12}  seconds, medians of {repeats}")
    for stage in stages:
        alone = [*("env", f"PYTHONPATH={project / 'src'}"), *stage_command(stage)]
        with_dvc = ["dvc", "repro", "--single-item", "--force", "--no-run-cache", stage]
        taken = [(seconds(project, *alone), seconds(project, *with_dvc)) for _ in range(repeats)]
        first, second = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"{stage:<14}{first:>12.1f}{second:>12.1f}", flush=True)
    first_step = statistics.median(until_first_step(project) for _ in range(repeats))
    print(f"start of train to its first step: {first_step:.2f} s", flush=True)
    for command in ("dvc repro", "celeba-vae --help"):
        taken_by = statistics.median(seconds(project, *command.split()) for _ in range(repeats))
        print(f"{command}, with nothing to do: {taken_by:.2f} s", flush=True)


def main() -> None:
    """Run the pipeline once, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement (3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        set_params(project, "train.epochs=1")
        succeed("dvc", "repro", cwd=project, timeout=1800)
        stages = list(yaml.safe_load((project / "dvc.yaml").read_text())["stages"])
        measure(project, stages, arguments.repeats)


if __name__ == "__main__":
    main()
