import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from celeba_vae.cli.program import cli
from tests.support import ROOT, own_environment

START = "import os, sys\nfrom celeba_vae.runtime.ending import ending_in_one_line as end\n"


def shell(code: str, redirected: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that ends in one line, from a shell that redirects its streams."""
    words = ["sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-c", START + code]
    buffered = own_environment(ROOT) | {"PYTHONUNBUFFERED": ""}
    return subprocess.run(
        words, cwd=folder, env=buffered, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("code", "redirected", "line"),
    [
        ("with end(): print('said')", ">/dev/full", "standard output: No space left on device"),
        (
            "with end(): print('said', flush=True)",
            ">/dev/full",
            "standard output: No space left on device",
        ),
        ("with end(): print('said')", "| true", "standard output: Broken pipe"),
        ("with end(): open('no\\n/file')", "", r"no\n/file: No such file or directory"),
        (
            "from celeba_vae.runtime.errors import UserError\nwith end(): raise UserError('so')",
            "",
            "so",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, code: str, redirected: str, line: str
) -> None:
    piped = redirected.startswith("|")
    # The reader of the pipe is gone before anything is written.
    done = shell(f"import time; time.sleep({0.3 * piped})\n{code}", redirected, tmp_path)
    assert done.stderr == f"error: {line}\n"
    assert done.stdout == ""
    assert piped or done.returncode == 1


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&- <&-"])
def test_no_file_gets_what_is_said_on_a_closed_stream(tmp_path: Path, closed: str) -> None:
    code = """
with end():
    with open("file", "wb") as file:
        print("of Python", file=sys.stdout)
        print("of Python", file=sys.stderr)
        for number in (1, 2):
            os.write(number, b"of a library")
        assert file.fileno() > 2 and not sys.stderr.isatty()
"""
    assert shell(code, closed, tmp_path).returncode == 0
    assert (tmp_path / "file").read_bytes() == b""


def test_where_no_stream_is_left_the_status_says_it(tmp_path: Path) -> None:
    for streams in (">/dev/full 2>&1", ">/dev/full 2>&-"):
        assert shell("with end(): print('said')", streams, tmp_path).returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["2>&-", ">&-", ">&- 2>&- <&-", ">/dev/full"])
def test_a_stage_makes_the_same_whatever_its_streams_are(
    reproduced: Path, tmp_path: Path, streams: str
) -> None:
    project = Path(shutil.copytree(reproduced, tmp_path / "project", symlinks=True))
    outs = project / "data/samples"
    before = {path.name: path.read_bytes() for path in outs.iterdir()}
    shutil.rmtree(outs)
    done = subprocess.run(
        ["sh", "-c", f'"$@" {streams}', "sh", sys.executable, "-m", "stages.generate"],
        cwd=project,
        env=own_environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in outs.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("name", [*cli.commands, ""])
@pytest.mark.parametrize("streams", [">/dev/full", "| true", ">&-", "2>&-"])
def test_every_command_prints_its_help_or_one_line(tmp_path: Path, name: str, streams: str) -> None:
    words = [sys.executable, "-m", "celeba_vae.cli", *filter(None, [name]), "--help"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {streams}', "sh", *words],
        cwd=tmp_path,
        env=own_environment(ROOT) | {"PYTHONUNBUFFERED": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    full = streams == ">/dev/full"
    assert done.returncode == full
    assert done.stderr == ("error: standard output: No space left on device\n" if full else "")
