"""Stage `report`: all of a run as one HTML file."""

from pathlib import Path

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
    """Return the source files that DVC hashes for this stage: all that makes results."""
    from dvc.api import DVCFileSystem

    project = DVCFileSystem()
    return [Path(name) for top in ("stages", "src") for name in project.find(top)]


if __name__ == "__main__":
    run(report)
