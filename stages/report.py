"""Stage `report`: all of a run as one HTML file."""

from pathlib import Path

import yaml

from celeba_vae.params import Params
from stages.runner import REPORT, run


def report(params: Params) -> None:
    """Read what all stages left, write data/report/report.html."""
    from celeba_vae.report.build import write_report

    groups = {
        "download": params.download.model_dump(),
        "prepare": params.prepare.model_dump(),
        "model": params.model.model_dump(),
        "train": params.train.model_dump(),
        "zpoints": params.zpoints.model_dump(),
        "generate": params.generate.model_dump(),
        "attributes": params.attributes.model_dump(),
        "evaluate": params.evaluate.model_dump(),
        "threads": params.threads,
    }
    write_report(REPORT.parent, REPORT / "report.html", groups=groups, code=_code())


def _code() -> list[Path]:
    """Return the files of the source that this stage depends on: what made the run."""
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    places = [Path(dep) for dep in pipeline["stages"]["report"]["deps"]]
    source = [place for place in places if place.parts[0] in ("src", "stages")]
    found = [file for place in source for file in (place, *place.rglob("*"))]
    return [file for file in found if file.is_file() and "__pycache__" not in file.parts]


if __name__ == "__main__":
    run(report)
