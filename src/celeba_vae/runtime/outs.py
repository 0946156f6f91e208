"""The outs and metrics of a stage: values by the names of their files, and what writes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeba_vae.runtime.files import (
    write_arrays,
    write_bytes,
    write_csv,
    write_json,
    write_tsv,
)


@dataclass(frozen=True)
class Table:
    """A table for people and programs.

    Attributes:
        header: the names of the columns.
        rows: as many cells each; read once, so a generator will do.
    """

    header: Sequence[str]
    rows: Iterable[Sequence[Any]]


# By the ending of its name a file holds an array or several by name (.npy, .npz), a table (.tsv,
# .csv), a mapping (.json), or bytes that are ready (a picture, a page).
Out = Any
Outs = Mapping[str, Out]


@dataclass(frozen=True)
class Result:
    """What a stage computes.

    Attributes:
        outs: the content of each file of its folder, by its name in there, such as `plots/auc.png`.
        metrics: the few numbers that git keeps.
    """

    outs: Outs
    metrics: Mapping[str, Any]


def write_outs(folder: Path, outs: Outs) -> None:
    """Write each out into its file in `folder`, whole or not at all, in stable bytes.

    Raises:
        ValueError: nothing is known about files of such a name.
        OSError: the disk is full, or the folder cannot be written.
    """
    for name, out in outs.items():
        path = folder / name
        match path.suffix:
            case ".npy" | ".npz":
                write_arrays(path, out)
            case ".tsv":
                write_tsv(path, out.header, out.rows)
            case ".csv":
                write_csv(path, out.header, out.rows)
            case ".json":
                write_json(path, out)
            case ".png" | ".html":
                write_bytes(path, out)
            case _:
                raise ValueError(f"{name}: no way to write such a file")


def write_result(result: Result, folder: Path, metrics: Path) -> None:
    """Write the outs of a stage into its folder and its metrics into a JSON file."""
    write_outs(folder, result.outs)
    write_json(metrics, result.metrics)
