"""Every command on a page is run on a tiny project, or marked with what it needs; none is stale.

A block of commands is fenced as ```sh, one of Python as ```python. `needs=WORD,WORD` behind the
language says what a test has not, see NEEDS. What has no such mark is run, the blocks of one page
after another in one shell, and then its Python; the README's by the fast tests, and every page's by
the slow ones, with what needs no more than minutes. All are checked against the command line, the
parameters, the Makefile and DVC's options.
"""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser

from celeba_vae.cli.program import cli
from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.verify.tiny_params import set_params
from docs.generator.notebook import PAGE as NOTEBOOK
from tests.support import ROOT, activated, commit, succeed

NEEDS = {
    "browser": "a desktop to look at something",
    "celeba": "CelebA's files",
    "cluster": "other machines, Slurm or a Dask scheduler",
    "gpu": "an NVIDIA GPU",
    "hours": "minutes or hours of computing",
    "minutes": "minutes of computing, for which the slow tests have time",
    "install": "packages that are not in the requirements, or to make the environment",
    "network": "a network",
    "photos": "photos of your own",
    "remote": "a storage of your own",
    "second-run": "an experiment or a clone that is not there",
}

# Programs that are on every machine, and need no look at their options.
PLAIN = {
    "cd",
    "cp",
    "export",
    "git",
    "kill",
    "ls",
    "mkdir",
    "pip",
    "sed",
    "source",
    "unzip",
    "wait",
}

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)
_TARGET = re.compile(r"^([a-z-]+):", re.M)
_SEPARATORS = "&|;<>()"


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: str
    line: int
    language: str
    needs: tuple[str, ...]
    text: str


def blocks_of(page: str, text: str) -> list[Block]:
    blocks = []
    for found in _FENCE.finditer(text):
        language, *marks = found["info"].split() or [""]
        needs = [mark.removeprefix("needs=") for mark in marks if mark.startswith("needs=")]
        line = text.count("\n", 0, found.start()) + 1
        words = tuple(needs[0].split(",")) if needs else ()
        blocks.append(Block(page, line, language, words, found["text"]))
    return blocks


def pages() -> list[str]:
    docs = (path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))
    # The notebook has a test of its own.
    return [page for page in ("README.md", "CONTRIBUTING.md", *docs) if page != NOTEBOOK.as_posix()]


BLOCKS = [block for page in pages() for block in blocks_of(page, (ROOT / page).read_text())]
SHELL = [block for block in BLOCKS if block.language == "sh"]


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a shell script, without assignments before them."""
    whole = ""
    for line in text.splitlines():
        whole += line.removesuffix("\\") + ("" if line.endswith("\\") else "\n")
        if line.endswith("\\"):
            continue
        lexer = shlex.shlex(whole, posix=True, punctuation_chars=_SEPARATORS)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # A quotation goes on in the next line.
            continue
        whole = ""
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set(_SEPARATORS):
                if command:
                    yield command
                command = []
            elif command or not re.match(r"\w+=", word):
                command.append(word)
    assert not whole.strip(), f"unfinished: {whole}"


def problem(command: list[str], needs: tuple[str, ...]) -> str | None:
    """Return what is wrong with a command, as far as can be seen without running it."""
    program, *words = command
    settings = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("-S", "--set-param")]
    try:
        # A list of values is for a queue of experiments, and an option needs a real file.
        load_params(ROOT / "params.yaml", [s for s in settings if "=" in s and "," not in s])
    except UserError as error:
        return str(error)
    if program == "celeba-vae":
        return _click_problem(words)
    if program == "dvc":
        try:
            get_main_parser().parse_args(words)
        except (DvcParserError, SystemExit):
            return "dvc has no such command or option"
        if words[:2] == ["exp", "run"] and not {"--temp", "--queue"} & {*words}:
            return "without --temp or --queue the next experiment starts from its parameters"
    elif program == "make":
        targets = _TARGET.findall((ROOT / "Makefile").read_text())
        wrong = [word for word in words if "=" not in word and word not in targets]
        return f"the Makefile has no {wrong[0]}" if wrong else None
    elif program == "python" and words[:1] == ["-m"]:
        if words[1].startswith(("tests", "stages", "celeba_vae", "docs")):
            return None if importlib.util.find_spec(words[1]) else f"no module {words[1]}"
    elif program == "pip" and (extras := re.search(r"\[(.+)\]", " ".join(words))):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wrong = [e for e in extras[1].split(",") if e not in project["optional-dependencies"]]
        return f"no extra {wrong[0]}" if wrong else None
    elif program not in PLAIN | {"python"} and not needs:
        return f"{program} is not known to be there: mark the block with what it needs"
    return None


def _click_problem(words: list[str]) -> str | None:
    if not words or words[0].startswith("-"):
        return None
    name, *rest = words
    if name not in cli.commands:
        return f"no command {name}"
    command = cli.commands[name]
    context = click.Context(command, info_name=name)
    try:
        given, _, _ = command.make_parser(context).parse_args(list(rest))
        for parameter in command.params:
            values: Any = given.get(parameter.name or "")
            # What is not given may be click's own mark, which is true.
            absent = not isinstance(values, str | list | tuple | bool) or not values
            if parameter.required and absent and "--help" not in rest:
                return f"lacks {parameter.name}"
            if isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange):
                for value in [] if absent else values if isinstance(values, list) else [values]:
                    parameter.type.convert(value, parameter, context)
    except click.ClickException as error:
        return error.format_message()
    return None


def programs(block: Block) -> set[str]:
    return {command[0] for command in commands_of(block.text)}


@pytest.mark.parametrize("page", pages())
def test_every_block_says_what_it_is(page: str) -> None:
    for block in (block for block in BLOCKS if block.page == page):
        place = f"{page}, line {block.line}"
        assert block.language, f"{place}: say sh, python, text or yaml behind the fence"
        assert block.language not in ("bash", "console", "shell"), f"{place}: sh is our word"
        assert set(block.needs) <= NEEDS.keys(), f"{place}: {block.needs}, known are {[*NEEDS]}"
    for block in (block for block in SHELL if block.page == page):
        place = f"{page}, line {block.line}"
        for command in commands_of(block.text):
            wrong = problem(command, block.needs)
            assert wrong is None, f"{place}: {shlex.join(command)}: {wrong}"
        # It would make the environment anew that the test runs in.
        assert "make" not in programs(block) or block.needs, f"{place}: make needs install"


def test_stale_commands_are_found() -> None:
    def of(text: str, *needs: str) -> list[str]:
        found = [problem(command, needs) for command in commands_of(text)]
        return [wrong for wrong in found if wrong]

    fine = """
        source .venv/bin/activate   # a comment
        A=1 dvc exp run --temp -S model.inter_dense=256 && dvc exp show --drop '.*'
        dvc exp run --queue -S 'model.z_dim=64,128'
        celeba-vae edit photo.jpg Smiling=2 \\
          --out x.png
        python -c "import os
        print(1)"; make test BASE=HEAD~1
        python -m tests.benchmarks.step --help
        pip install -e '.[jax]'
    """
    assert of(fine) == []
    assert len(list(commands_of(fine))) == 9
    assert "No such option" in of("celeba-vae sample --colour 2")[0]
    assert "not in the range" in of("celeba-vae sample --rows 0")[0]
    assert "is not one of" in of("celeba-vae sample --sampler mine")[0]
    assert "lacks photos" in of("celeba-vae reconstruct")[0]
    assert of("celeba-vae reconstruct --help") == of("celeba-vae --help") == []
    assert "no command draw" in of("celeba-vae draw")[0]
    assert "no such key" in of("dvc exp run -S model.zdim=3")[0]
    assert "model.z_dim = 0" in of("dvc exp run -S model.z_dim=0")[0]
    assert "starts from its parameters" in of("dvc exp run -S model.z_dim=8")[0]
    assert "dvc has no such" in of("dvc exp walk")[0]
    assert "no reprod" in of("make reprod")[0]
    assert "no module" in of("python -m tests.benchmarks.stepp")[0]
    assert "no extra jaxx" in of("pip install -e '.[jaxx]'")[0]
    assert "srun is not known" in of("srun hostname")[0]
    assert of("srun hostname", "cluster") == []


def test_the_list_of_commands_is_not_cut() -> None:
    text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_has_an_example_on_one_line(name: str) -> None:
    text = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).output
    examples = [line.strip() for line in text.splitlines() if line.startswith("  celeba-vae ")]
    assert examples
    for example in examples:
        assert example.startswith(f"celeba-vae {name}")
        assert [problem(command, ()) for command in commands_of(example)] == [None]


def test_blocks_and_their_marks_are_read() -> None:
    text = "a\n\n```sh needs=network,hours\nmake\n```\n\n- b\n\n  ```python\n  x = 1\n  ```\n"
    first, second = blocks_of("p.md", text)
    assert first == Block("p.md", 3, "sh", ("network", "hours"), "make\n")
    assert (second.language, second.needs, second.line) == ("python", (), 9)


def runs(page: str, *, minutes: bool) -> tuple[str, str]:
    """Return the shell script and the Python script that a page's unmarked blocks make up."""
    needs = [(), ("minutes",)] if minutes else [()]
    mine = [block for block in BLOCKS if block.page == page and block.needs in needs]
    shell, python = (
        "\n".join(block.text for block in mine if block.language == language)
        for language in ("sh", "python")
    )
    return shell, python


def run_page(page: str, reproduced: Path, folder: Path, *, minutes: bool) -> None:
    """Run a page in a copy of the tiny project."""
    project = folder / "celeba_vae"
    shutil.copytree(reproduced, project, symlinks=True)
    (project / ".venv").symlink_to(sys.prefix)
    (project / ".git/info/exclude").write_text(".venv\n")
    if minutes:  # as `make repro` does
        succeed("dvc", "exp", "save", "--name", "baseline", cwd=project)
    shell, python = runs(page, minutes=minutes)
    # Each command is shown before its output, so that a failure says where.
    for command in (["bash", "-evxc", shell], [sys.executable, "-c", python]):
        done = subprocess.run(
            command,
            cwd=project,
            env=activated(),
            input="y\n",  # Where a command asks whether it shall proceed.
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_readme_runs(reproduced: Path, tmp_path: Path) -> None:
    run_page("README.md", reproduced, tmp_path, minutes=False)


def test_experiments_of_the_readme_differ_from_the_first_run_in_what_they_set(
    tmp_path: Path,
) -> None:
    """Run them in the README's order, with DVC, on a pipeline that does nothing."""
    groups = yaml.safe_load((ROOT / "params.yaml").read_text())
    stage = {"cmd": "cp params.yaml out", "params": [*groups], "outs": ["out"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"stage": stage}}))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    succeed("git", "init", "-q", cwd=tmp_path)
    for name in ("name", "email"):
        succeed("git", "config", f"user.{name}", "test@example.org", cwd=tmp_path)
    succeed("dvc", "init", "-q", cwd=tmp_path)
    commit(tmp_path, "small")
    # What `make repro` does.
    succeed("dvc", "repro", cwd=tmp_path)
    succeed("dvc", "exp", "save", "--name", "baseline", cwd=tmp_path)

    ran = 0
    commands = [c for block in SHELL if block.page == "README.md" for c in commands_of(block.text)]
    for command in commands:
        if command[:3] == ["dvc", "exp", "apply"]:
            succeed(*command, cwd=tmp_path)
        if command[:3] != ["dvc", "exp", "run"]:
            continue
        succeed(*command, cwd=tmp_path)
        name = command[command.index("-n") + 1]
        ref = succeed("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=tmp_path)
        (own,) = (line for line in ref.split() if line.endswith(f"/{name}"))
        settings = [command[i + 1] for i, word in enumerate(command) if word == "-S"]
        expected = tmp_path / "expected"
        expected.mkdir(exist_ok=True)
        shutil.copy(ROOT / "params.yaml", expected)
        set_params(expected, *settings)
        found = succeed("git", "show", f"{own}:params.yaml", cwd=tmp_path)
        assert found == (expected / "params.yaml").read_text(), command
        ran += 1
    assert ran >= 3
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in pages() if any(runs(page, minutes=True))])
def test_a_page_runs(page: str, reproduced: Path, tmp_path: Path) -> None:
    run_page(page, reproduced, tmp_path, minutes=True)
