"""The folders that the stages write, and a check that nothing of the user's lies where DVC deletes.

DVC deletes a stage's folder before it runs the stage, and puts it back as it was before an
experiment; what lies in there and is not of the stage is gone, and in no cache.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from celeba_vae.runtime.errors import UserError

# Not data/raw, as people call the folder in which they keep their photographs.
IMPORTED = Path("data/imported")
SHARDS = Path("data/shards")
MODEL = Path("data/model")
ZPOINTS = Path("data/zpoints")
SAMPLES = Path("data/samples")
ATTRIBUTES = Path("data/attributes")
EVALUATION = Path("data/evaluation")
REPORT = Path("data/report")
METRICS = Path("data/metrics")
KEY_METRICS = Path("data/metrics.json")

_OUTS = (IMPORTED, SHARDS, MODEL, ZPOINTS, SAMPLES, ATTRIBUTES, EVALUATION, REPORT)
WRITTEN = (*_OUTS, METRICS, KEY_METRICS)


def check_outside(place: Path, name: str, *, above: bool = False) -> None:
    """Raise UserError if a place of the user's lies in a folder that the stages write.

    Links are followed. The folders are those of the project in the current folder, and of any
    checkout of it that the place lies in: an experiment may run elsewhere.

    Args:
        place: a file or folder, there or not.
        name: what it is called in the message, such as `download.path`.
        above: refuse a folder that holds one of them, too.
    """
    try:
        whole = Path(os.path.realpath(place))
    except ValueError:  # No path at all; who reads it says so.
        return
    for written in _folders_around(whole):
        if whole.is_relative_to(written):
            raise UserError(
                f"{name}: {place} lies in {written}, which a stage writes: DVC deletes all that is "
                "in there; choose another folder"
            )
        if above and written.is_relative_to(whole):
            raise UserError(
                f"{name}: {place} holds {written}, which a stage writes: choose a folder without it"
            )


def _folders_around(whole: Path) -> Iterator[Path]:
    tops = {Path.cwd(), *filter(_is_checkout, (whole, *whole.parents))}
    for top in sorted(tops):
        for folder in WRITTEN:
            # Both where it seems to lie and where a link, such as data/ on another disk, leads.
            yield top / folder
            yield Path(os.path.realpath(top / folder))


def _is_checkout(folder: Path) -> bool:
    try:
        return (folder / "dvc.yaml").is_file() and (folder / "src/celeba_vae").is_dir()
    except OSError:  # A folder that may not be looked into; who reads from it says so.
        return False
