"""Reproduction of the committed state from nothing, and its comparison with dvc.lock."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from celeba_vae.machine import MACHINE_FILE, differences, read_machine
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.reading import read_object
from celeba_vae.verify.commands import call, last_line
from celeba_vae.verify.compare import Row, Run, read_run, same_bytes
from celeba_vae.verify.reproduce import clone, committed_state, reproduce
from celeba_vae.verify.tiny_params import TINY, set_params
from celeba_vae.verify.tolerance import compare_metrics

# They come out of integers and of libraries that compute alike on every processor.
SAME_EVERYWHERE = ("data/imported", "data/shards")
METRICS = Path("data/metrics")


def verify(project: Path, here: dict[str, Any], *, results: Path | None = None) -> str:
    """Reproduce the committed state in an empty folder and compare it with its dvc.lock.

    Every byte must be the same. But with native instructions, on another kind of machine than made
    the lock, only the archive and the shards; a second reproduction must be identical to the first,
    and the metrics must agree within `TOLERANCES`, while the rest is reported.

    Args:
        project: the top folder of the project.
        here: this machine, as `describe_machine` gives it.
        results: where to leave the pictures, the report and the metrics of the reproduction.

    Returns:
        The table and the verdict, as Markdown.

    Raises:
        UserError: the verdict is no, or there is none because a stage failed.
    """
    commit = committed_state(project)
    with _work_folder() as work:
        first = work / "first"
        clone(project, first)
        committed = read_run(first / "dvc.lock", _cache_of(project))
        metrics = _read_metrics(first)
        differing = differences(read_machine(first / MACHINE_FILE), here)
        another_kind = here["instructions"] == "native" and bool(differing)
        click.echo(_announcement(commit, work, twice=another_kind), err=True)
        made = _reproduce(first, "reproduction", results)
        if not another_kind:
            rule = "the bytes of dvc.lock"
            rows = [same_bytes(name, committed, made, rule=rule) for name in committed.outs]
            kind = f"a machine that differs from its record ({'; '.join(differing)})"
            kind = f"{kind if differing else 'this machine'}: every byte must be the same"
        else:
            clone(project, work / "second")
            again = reproduce(work / "second", label="second reproduction")
            rows = list(_other_kind(committed, made, again))
            rows += compare_metrics(metrics, _read_metrics(first), rule="metrics within tolerance")
            kind = f"another kind of machine than made dvc.lock ({'; '.join(differing)})"
        return _verdict(rows, f"Commit {commit}, on {kind}.")


def verify_quickly(
    project: Path, *, emulated: str | None = None, results: Path | None = None
) -> str:
    """Reproduce the committed code twice with tiny parameters, and compare the two.

    The second time with one worker, and on one processor or an emulated one, which must not matter.

    Args:
        project: the top folder of the project.
        emulated: the processor of the second time, as qemu names it; None for one of this machine.
        results: where to leave the pictures, the report and the metrics of the first time.

    Returns:
        The table and the verdict, as Markdown.

    Raises:
        UserError: the verdict is no, or there is none because a stage failed.
    """
    commit = committed_state(project)
    with _work_folder() as work:
        click.echo(f"verifying commit {commit} in {work}: twice, with tiny parameters", err=True)
        first, second = work / "first", work / "second"
        for folder, overrides in ((first, TINY), (second, (*TINY, "run.workers=1"))):
            clone(project, folder)
            set_params(folder, *overrides)
        made = _reproduce(first, "first time", results)
        processors = 0 if emulated else 1
        again = reproduce(second, label="second time", processors=processors, emulated=emulated)
        rule = "the same bytes twice"
        rows = [same_bytes(name, made, again, rule=rule) for name in made.outs]
        where = f" here and on an emulated {emulated}" if emulated else ""
        return _verdict(rows, f"Commit {commit}, with tiny parameters{where}.")


def _other_kind(committed: Run, made: Run, again: Run) -> Iterator[Row]:
    for name in committed.outs:
        everywhere = name in SAME_EVERYWHERE
        rule = "the bytes of dvc.lock" if everywhere else "reported: bytes of dvc.lock"
        if Path(name).parent != METRICS:  # Their values are judged.
            yield same_bytes(name, committed, made, rule=rule, judged=everywhere)
        yield same_bytes(name, made, again, rule="the same bytes twice here")


def _reproduce(folder: Path, label: str, results: Path | None) -> Run:
    made = reproduce(folder, label=label)
    if results:
        data = folder / "data"
        shutil.copytree(data / "metrics", results / "metrics", dirs_exist_ok=True)
        shutil.copytree(data / "report", results, dirs_exist_ok=True)
        pictures = shutil.ignore_patterns("*.npy")
        shutil.copytree(data / "samples", results / "samples", ignore=pictures, dirs_exist_ok=True)
    return made


@contextmanager
def _work_folder() -> Iterator[Path]:
    """Give an empty folder; it stays, and is named, if the block fails, but for Ctrl-C."""
    work = Path(tempfile.mkdtemp(prefix="celeba-vae-verify-"))
    try:
        yield work
    except KeyboardInterrupt:
        shutil.rmtree(work)
        raise
    except UserError as error:
        raise UserError(f"{error}; what was made is kept in {work}") from None
    shutil.rmtree(work)


def _cache_of(project: Path) -> Path:
    done = call(sys.executable, "-m", "dvc", "cache", "dir", folder=project)
    if done.returncode:
        raise UserError(f"dvc cache dir: {last_line(done.stderr)}")
    return Path(done.stdout.strip())


def _read_metrics(project: Path) -> dict[str, Any]:
    files = sorted((project / METRICS).glob("*.json"))
    return {file.stem: read_object(file, fix="`dvc repro` makes it anew") for file in files}


def _announcement(commit: str, work: Path, *, twice: bool) -> str:
    times = "twice, for this is another kind of machine than made dvc.lock" if twice else "once"
    return (
        f"verifying commit {commit} in {work}: {times}; the default run takes six minutes on 2 "
        "cores, up to 25 on old or busy ones"
    )


def _verdict(rows: Sequence[Row], subject: str) -> str:
    marks = {True: "yes", False: "NO", None: "-"}
    cells = [("passed", "what", "must be", "and is")]
    cells += [(marks[row.passed], row.what, row.rule, row.result) for row in rows]
    # The last column may be long, and is not padded.
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = [
        f"| {a:<{widths[0]}} | {b:<{widths[1]}} | {c:<{widths[2]}} | {d} |" for a, b, c, d in cells
    ]
    lines.insert(1, "|---|---|---|---|")
    table = "\n".join([subject, "", *lines, ""])
    failed = [row.what for row in rows if row.passed is False]
    if failed:
        click.echo(table)
        raise UserError(f"not reproduced: {', '.join(dict.fromkeys(failed))}")
    judged = sum(row.passed is not None for row in rows)
    return f"{table}\nReproduced: {judged} of {judged} comparisons hold."
