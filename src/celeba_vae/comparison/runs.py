"""Runs of the pipeline by their names: what made them, and their key metrics."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeba_vae.report.key_metrics import KEY_METRICS
from celeba_vae.report.metrics import FIX
from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.mappings import flatten
from celeba_vae.runtime.reading import read_object
from celeba_vae.runtime.strict_yaml import read_yaml

# What DVC calls the results that lie in data/ now.
WORKSPACE = "workspace"

# What the picture of faces is made of.
PARTS = ("data/model", "data/zpoints/samplers.npz", "data/metrics/zpoints.json")
_LOCK = "dvc.lock"
_METRICS = "data/metrics.json"
_IMPORTED = "data/imported"
# The stages' own code, and that of the last one, which makes no result but shows all.
_CODE, _LAST = ("src/", "stages/"), "report"


@dataclass(frozen=True)
class Run:
    """A run of the whole pipeline.

    Attributes:
        name: of an experiment or a revision, or WORKSPACE.
        groups: the parameters that a result depends on, nested as in params.yaml.
        metrics: the key metrics that it has, in the order of KEY_METRICS.
        inputs: what else decides them, as short hashes: `code` and `images`.
        sums: the md5 of all that the stages used and made, by its path, as dvc.lock has it.
    """

    name: str
    groups: dict[str, Any]
    metrics: dict[str, float]
    inputs: dict[str, str]
    sums: dict[str, str]

    @property
    def parameters(self) -> dict[str, Any]:
        """The value of each parameter by its whole name, such as `train.seed`."""
        return flatten(self.groups)


def read_run(name: str, folder: Path) -> Run:
    """Return a run by its name.

    Args:
        name: see `fetch_run`.
        folder: an empty folder for its files.

    Raises:
        UserError: there is no such run, its files are missing or damaged, or it was broken off.
    """
    top = fetch_run(name, folder, (_LOCK, _METRICS))
    groups: dict[str, Any] = {}
    sums: dict[str, str] = {}
    code: dict[str, str] = {}
    try:
        for stage, noted in read_yaml(top / _LOCK)["stages"].items():
            for group, values in noted.get("params", {}).get("params.yaml", {}).items():
                _note(groups, group, values, name)
            for entry in (*noted["deps"], *noted["outs"]):
                _note(sums, entry["path"], entry["md5"], name)
            if stage != _LAST:
                found = {entry["path"]: entry["md5"] for entry in noted["deps"]}
                code |= {path: md5 for path, md5 in found.items() if path.startswith(_CODE)}
        hashed = _new_md5(json.dumps(sorted(code.items())).encode()).hexdigest()
        inputs = {"code": hashed[:8], "images": sums[_IMPORTED][:8]}
    except (TypeError, KeyError, AttributeError):
        raise UserError(f"{name}: {_LOCK}: holds no run; {FIX}") from None
    run = Run(name, groups, {}, inputs, sums)
    check_made(run, top, [_METRICS])
    found = read_object(top / _METRICS, fix=FIX)
    for key in filter(found.__contains__, KEY_METRICS):
        if type(found[key]) not in (int, float):
            raise UserError(f"{name}: {_METRICS}: {key} is no number; {FIX}")
        run.metrics[key] = found[key]
    return run


def check_made(run: Run, top: Path, parts: Iterable[str]) -> None:
    """Check that files are those of a run, and not of another that lay or lies beside its dvc.lock.

    Args:
        run: the run.
        top: the folder of the project, or that of `fetch_run`, as DVC's cache may be damaged.
        parts: files and folders by their paths in there.

    Raises:
        UserError: one is missing, or is another.
    """
    for part in parts:
        made = _md5(top / part)
        if made is None or made != run.sums.get(part):
            fault = f"is not what {_LOCK} says that the run made" if made else "is missing"
            fix = "run it again (`dvc exp run`, `dvc repro`)"
            if run.name == WORKSPACE:
                tool = "git" if part.startswith("data/metrics") else "dvc"
                fix = f"`{tool} checkout {part}` brings it back, {FIX}"
            raise UserError(f"{run.name}: its {part} {fault}; {fix}")


def _new_md5(content: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(content, usedforsecurity=False)


def _note(known: dict[str, Any], key: str, value: Any, name: str) -> None:
    """Keep what a stage says; all stages of a run say the same."""
    if known.setdefault(key, value) != value:
        raise UserError(
            f"{name}: {_LOCK}: its stages had different {key}, so that a run was broken off; "
            "`dvc repro` finishes it"
        )


def _md5(path: Path) -> str | None:
    """Return the md5 of a file or folder as DVC writes it; None where there is none."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, _new_md5).hexdigest()
    if not path.is_dir():
        return None
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listed = [{"md5": _md5(files[name]), "relpath": name} for name in sorted(files)]
    return _new_md5(json.dumps(listed).encode()).hexdigest() + ".dir"


def fetch_run(name: str, folder: Path, parts: Iterable[str]) -> Path:
    """Return the folder with files of a run, brought there out of git and DVC's cache.

    Args:
        name: a Git revision (commit, branch, tag) or the name of a DVC experiment of this project;
            WORKSPACE for what lies in the project now.
        folder: where the files are put; unused with WORKSPACE.
        parts: files and folders by their paths in the project.

    Raises:
        UserError: no such revision, or its results are not in the cache.
    """
    if name == WORKSPACE:
        return Path()
    if not name:  # It would be HEAD to git, and the workspace to DVC.
        raise UserError("a run is named '': give a revision, an experiment, or workspace")
    # DVC takes half a second to load, which other commands need not wait for.
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import resolve_rev
    from dvc_data.index import DataIndexError

    try:
        with Repo() as repo:
            # Trees and files have names in git as well.
            found = resolve_rev(repo.scm, name)
            commit = resolve_rev(repo.scm, f"{found}^{{commit}}")
        files = DVCFileSystem(rev=commit)
        for part in parts:
            target = folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                files.get(part, str(target), recursive=True)
            except (DataIndexError, FileNotFoundError):
                where = "among its files" if part in (_LOCK, _METRICS) else "in DVC's cache"
                raise UserError(
                    f"{name}: its {part} is not {where}; run it (`dvc exp run`, `dvc repro`), or "
                    "bring it from a remote (`dvc fetch`)"
                ) from None
    except (DvcException, ValueError) as error:  # ValueError: a name that can be none.
        raise UserError(
            f"{name}: {reason_of(error)}; `dvc exp list` and `git log` name those there are, and "
            f"{WORKSPACE} is what lies in data/"
        ) from None
    return folder
