"""Kill a training at random moments, again and again, and compare what it ends in.

    python -m tests.stress.resume --times 100
    python -m tests.stress.resume --times 20 --life 20 -S train.backend=jax

A tiny training that saves its state after every step is killed with SIGKILL at random moments,
in the middle of a save too, and started again until it ends; then the next one is begun. Each
must end in the very bytes of one that nobody killed.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from celeba_vae.verify.tiny_params import set_params
from tests.support import make_project, own_environment, succeed

OUTS = ("data/model", "data/metrics/train.json")
MORE_STEPS = ("train.epochs=12", "train.batch_size=8", "run.checkpoint_steps=1")
# Seconds within which the kill comes, from the moment a training has found its state. The first
# step is compiled for one or two of them, all others and their saves take about two.
LONGEST_LIFE = 4.0


def prepare_project(folder: Path, *overrides: str) -> Path:
    """Make a tiny project with shards, of which only `train` is still to run."""
    project = make_project(folder)
    set_params(project, *MORE_STEPS, *overrides)
    succeed("dvc", "repro", "prepare", cwd=project, timeout=600)
    return project


def train_to_the_end(project: Path) -> dict[str, bytes]:
    """Run the stage without interruption, from scratch, and return what it wrote."""
    shutil.rmtree(project / "data/scratch", ignore_errors=True)
    with start_training(project) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "afresh" in output
    return outs_of(project)


def kill_until(
    project: Path,
    *,
    times: int,
    seed: int,
    expected: dict[str, bytes],
    life: float = LONGEST_LIFE,
) -> int:
    """Kill `times` trainings; return how many ended in between, all in the expected bytes.

    Each is killed within `life` seconds from the moment it has found its state.

    Raises:
        AssertionError: one ended otherwise, or with an error.
    """
    moments = random.Random(seed)
    shutil.rmtree(project / "data/scratch", ignore_errors=True)
    killed = ended = 0
    while True:
        with start_training(project) as process:
            if killed == times:
                _, errors = process.communicate()
            else:
                wait_for_training(process)
                try:
                    process.wait(moments.uniform(0, life))
                except subprocess.TimeoutExpired:
                    process.kill()
                _, errors = process.communicate()
        if process.returncode == -9:
            killed += 1
            continue
        assert process.returncode == 0, errors
        assert outs_of(project) == expected, f"other bytes after {killed} kills"
        ended += 1
        shutil.rmtree(project / "data/scratch")
        if killed == times:
            return ended


def start_training(project: Path) -> "subprocess.Popen[str]":
    """Start the stage in a process, with pipes for what it says."""
    # As DVC does before it runs a stage: one that was killed may have left half a file there.
    shutil.rmtree(project / "data/model", ignore_errors=True)
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=project,
        env=own_environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_training(process: "subprocess.Popen[str]") -> str:
    """Read what a training says until it has found, or not found, its state; return that."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "to watch" in line:
            break
    return said


def outs_of(project: Path) -> dict[str, bytes]:
    """Return the bytes of each file that the stage wrote."""
    files = [path for out in OUTS for path in [project / out, *(project / out).glob("*")]]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def main() -> None:
    """Print how often a training was killed, how many ended, and whether all were alike."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--times", type=int, default=100, help="how often to kill (100)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments (1)")
    parser.add_argument("--life", type=float, default=LONGEST_LIFE, help="longest life, in s (4)")
    parser.add_argument("-S", "--set", action="append", default=[], help="group.key=value")
    arguments = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        project = prepare_project(Path(folder), *arguments.set)
        expected = train_to_the_end(project)
        ended = kill_until(
            project,
            times=arguments.times,
            seed=arguments.seed,
            expected=expected,
            life=arguments.life,
        )
    print(
        f"{arguments.times} kills, {ended} trainings ended, all in the bytes of one that nobody "
        f"killed ({', '.join(sorted(expected))}); {time.monotonic() - begin:.0f} s"
    )


if __name__ == "__main__":
    main()
