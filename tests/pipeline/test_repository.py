"""What is committed fits together."""

import ast
import os
import re
import shutil
from pathlib import Path

import yaml

from celeba_vae.params import load_params
from tests.support import ROOT, commit, copy_project, run, succeed

COMMIT = ("commit", "--quiet", "--allow-empty", "--message=first")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_every_stage_is_described_and_names_its_own_source() -> None:
    for name, stage in PIPELINE["stages"].items():
        assert stage["desc"]
        assert stage["cmd"] == f"exec env PYTHONPATH=src python -m stages.{name}"
        assert (ROOT / f"stages/{name}.py").read_text().count("\n") <= 60


def test_committed_default_needs_no_network() -> None:
    assert load_params(ROOT / "params.yaml").download.source == "synthetic"


def test_packages_hold_a_docstring_alone() -> None:
    # DVC and the gate leave them out: no stage shall depend on what they say.
    for path in [*ROOT.glob("src/celeba_vae/*/**/__init__.py"), ROOT / "stages/__init__.py"]:
        package = ast.parse(path.read_text())
        assert ast.get_docstring(package), path
        assert len(package.body) == 1, path


def tracked_files() -> list[Path]:
    listed = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).exists()]


def test_no_large_file_and_no_data_in_git() -> None:
    for path in tracked_files():
        assert path.suffix not in {".npy", ".npz", ".h5", ".zip", ".keras"}, path
        assert path.stat().st_size < 2**20, path


def test_a_clone_has_the_same_bytes_whatever_line_ends_git_likes(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    commit(project, "all")
    settings = ("-c", "core.autocrlf=true", "-c", "core.eol=crlf")
    succeed("git", "clone", "-q", *settings, str(project), str(tmp_path / "clone"), cwd=tmp_path)
    names = succeed("git", "ls-files", cwd=project).splitlines()
    assert "dvc.lock" in names
    for name in names:
        assert (tmp_path / "clone" / name).read_bytes() == (project / name).read_bytes(), name
    assert succeed("git", "status", "--porcelain", cwd=tmp_path / "clone") == ""


def test_a_first_run_is_kept_once_and_where_git_has_both_names(tmp_path: Path) -> None:
    # With commands that say what they are called with, as the run itself is no matter here.
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("dvc", "celeba-vae"):
        (tmp_path / ".venv/bin" / name).write_text(f'#!/bin/sh\necho "{name} $@"\n')
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    succeed("git", "init", "-q", cwd=tmp_path)
    succeed("git", "-c", "user.name=a", "-c", "user.email=b", *COMMIT, cwd=tmp_path)

    def make() -> list[str]:
        done = run(
            "make", "--no-print-directory", "--old-file=setup", "repro", cwd=tmp_path, env=nobody
        )
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert (lines[0], lines[-1]) == ("dvc repro", "celeba-vae summary")
        return lines[1:-1]

    unkept = make()
    assert unkept[0].startswith("Not kept as the experiment baseline: ")
    assert unkept[-2:] == [
        "  git config --global user.name NAME",
        "  git config --global user.email ADDRESS",
    ]
    succeed("git", "config", "user.email", "b", cwd=tmp_path)
    assert make() == unkept  # DVC asks for both.
    succeed("git", "config", "user.name", "a", cwd=tmp_path)
    assert make() == ["dvc exp save --name baseline"]
    succeed("git", "update-ref", "refs/exps/00/00/baseline", "HEAD", cwd=tmp_path)
    assert make() == []


def test_lines_have_at_most_100_columns() -> None:
    # But for rows of tables and links, which cannot be cut, and templates of values.
    kept = re.compile(r"^\||\]\(|https?://")
    for path in tracked_files():
        if path.suffix in {".md", ".py", ".toml", ".yaml", ".yml"}:
            text = re.sub(r"(?s)<!-- values\n.*?-->", "", path.read_text())
            long = [line for line in text.splitlines() if len(line) > 100 and not kept.search(line)]
            assert long == [], path
