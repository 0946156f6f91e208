"""A clone of a project and its pipeline run from nothing, untouched by what lies around it."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.scratch import SCRATCH_VARIABLE
from celeba_vae.verify.commands import call, last_line
from celeba_vae.verify.compare import Run, read_run

EMULATOR = "qemu-x86_64"

# A process that dies with this one, and leaves its place to dvc, which dies with it as well: a
# killed verification must not leave a training behind.
_START = """
import os, sys
from celeba_vae.runtime.processes import die_with_parent
die_with_parent(int(sys.argv[1]))
if processors := int(sys.argv[2]):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])
os.execv(sys.executable, [sys.executable, "-m", "dvc", "repro", "--force"])
"""
# As NumPy sees the processor that it runs on, which need not be that of /proc/cpuinfo.
_HAS_AVX2 = """
from numpy._core._multiarray_umath import __cpu_features__ as has
raise SystemExit(not (has["AVX2"] and has["FMA3"]))
"""


def committed_state(project: Path) -> str:
    """Return the short name of the commit that the project stands at.

    Raises:
        UserError: it is no git repository, or files that git follows were changed: what is
            reproduced is what is committed, and would not be what the user looks at.
    """
    commit = _git(project, "rev-parse", "--short", "HEAD")
    changed = _git(project, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:3]) + (", ..." if changed[3:] else "")
        raise UserError(
            f"not committed: {names}; what is verified is the last commit: commit them, or put "
            "them aside with `git stash`"
        )
    return commit


def clone(project: Path, folder: Path) -> None:
    """Clone the commit that the project stands at into `folder`, with nothing but it."""
    _git(project, "clone", "--quiet", str(project.resolve()), str(folder))


def _git(project: Path, *words: str) -> str:
    done = call("git", *words, folder=project, environment=_environment(project))
    if done.returncode:
        raise UserError(f"git {words[0]} in {project.resolve()}: {last_line(done.stderr)}")
    # Not strip(): the first column of `git status --porcelain` may be a space.
    return done.stdout.rstrip("\n")


def reproduce(
    project: Path, *, label: str, processors: int = 0, emulated: str | None = None
) -> Run:
    """Run every stage of a clone by force, and return what it made.

    The stages run one after another; their progress bars show on stderr. Its cache is the clone's
    own, so that nothing can come from another.

    Args:
        project: the clone.
        label: what this run is called in messages.
        processors: how many processors it may use; 0 for all.
        emulated: the processor, as qemu names it, on which each stage is run; None for this one.

    Raises:
        UserError: a stage failed; what it said stands above, on stderr.
    """
    environment = _environment(project)
    if emulated:
        folder = emulating_python(project.resolve().parent / "emulated", emulated)
        environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    with subprocess.Popen(  # noqa: S603 (nothing in it comes from outside)
        [sys.executable, "-c", _START, str(os.getpid()), str(processors)],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as dvc:
        for line in dvc.stdout or ():
            if line.startswith("Running stage"):
                stage = line.split("'")[1]
                click.echo(f"{label}: {stage}", err=True)
    if dvc.returncode:
        raise UserError(f"{label}: dvc repro ended with status {dvc.returncode} in {project}")
    return read_run(project / "dvc.lock", project / ".dvc/cache")


def check_emulator(processor: str) -> None:
    """Check that qemu is installed and can emulate a processor on which the stages run.

    Raises:
        UserError: it is not, or it cannot.
    """
    if not shutil.which(EMULATOR):
        raise UserError(f"--emulate {processor}: {EMULATOR} is missing: `apt install qemu-user`")
    done = call(EMULATOR, "-cpu", "help", folder=Path())
    # A line such as "x86 Haswell-v4  Intel Core Processor (Haswell, no TSX, IBRS)".
    known = {words[1] for line in done.stdout.splitlines() if len(words := line.split()) > 1}
    if processor not in known:
        raise UserError(
            f"--emulate {processor}: {EMULATOR} knows no such processor; `{EMULATOR} -cpu help` "
            "lists them, and it must have AVX2, as EPYC-Milan and Haswell do"
        )
    program = (sys.executable, "-c", _HAS_AVX2)
    if call(EMULATOR, "-cpu", processor, *program, folder=Path()).returncode:
        raise UserError(
            f"--emulate {processor}: runs no program with AVX2 and FMA; take one that has them, "
            "as EPYC-Milan and Haswell do"
        )


def emulating_python(folder: Path, processor: str) -> Path:
    """Make a folder with a `python` that runs on an emulated processor, and return it.

    DVC itself, which computes nothing but hashes, stays outside. A process that a stage starts
    anew would leave the emulation; with one worker there is none.
    """
    folder.mkdir(exist_ok=True)
    python = folder / "python"
    words = shlex.join([EMULATOR, "-cpu", processor, sys.executable])
    python.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return folder


def _environment(project: Path) -> dict[str, str]:
    """Return the environment without what leads DVC, git or the stages to other places."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "GIT_")) and name not in (SCRATCH_VARIABLE, "PYTHONPATH")
    }
    # A user's own settings, such as a shared cache, and DVC's notes on files it has seen.
    own = project.resolve().parent / "dvc"
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "PYTHONUNBUFFERED": "1",  # Else the names of stages come late through the pipe.
        "DVC_GLOBAL_CONFIG_DIR": str(own / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(own / "system"),
        "DVC_SITE_CACHE_DIR": str(own / "site"),
    }
