"""Runs of the pipeline by their names: what made them, and their key metrics."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeba_vae.report.key_metrics import KEY_METRICS
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.mappings import flatten
from celeba_vae.runtime.reading import read_object
from celeba_vae.runtime.strict_yaml import read_yaml

# What DVC calls the results that lie in data/ now.
WORKSPACE = "workspace"

# What the picture of faces is made of.
PARTS = ("data/model", "data/zpoints/samplers.npz", "data/metrics/zpoints.json")
_LOCK = "dvc.lock"
_METRICS = "data/metrics.json"


@dataclass(frozen=True)
class Run:
    """A run of the whole pipeline.

    Attributes:
        name: of an experiment or a revision, or WORKSPACE.
        groups: the parameters that a result depends on, nested as in params.yaml.
        metrics: the key metrics that it has, in the order of KEY_METRICS.
    """

    name: str
    groups: dict[str, Any]
    metrics: dict[str, float]

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
        UserError: there is no such run, or its files are missing or damaged.
    """
    top = fetch_run(name, folder, (_LOCK, _METRICS))
    groups: dict[str, Any] = {}
    try:
        for stage in read_yaml(top / _LOCK)["stages"].values():
            groups |= stage.get("params", {}).get("params.yaml", {})
    except (TypeError, KeyError, AttributeError):
        raise UserError(f"{name}: {_LOCK}: holds no stages; `dvc repro` makes it anew") from None
    found = read_object(top / _METRICS, fix="`dvc repro` makes it anew")
    metrics = {key: found[key] for key in KEY_METRICS if key in found}
    for key, value in metrics.items():
        if type(value) not in (int, float):
            raise UserError(f"{name}: {_METRICS}: {key} is no number; `dvc repro` makes it anew")
    return Run(name, groups, metrics)


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
    # DVC takes half a second to load, which other commands need not wait for.
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    files = DVCFileSystem(rev=name)
    for part in parts:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            files.get(part, str(target), recursive=True)
        except (DataIndexError, FileNotFoundError):
            where = "among its files" if part in (_LOCK, _METRICS) else "in DVC's cache"
            raise UserError(
                f"{name}: its {part} is not {where}; run it (`dvc exp run`, `dvc repro`), or bring "
                "it from a remote (`dvc fetch`)"
            ) from None
        except DvcException as error:
            raise UserError(
                f"{name}: {error}; `dvc exp list` and `git log` name those there are, and "
                f"{WORKSPACE} is what lies in data/"
            ) from None
    return folder
