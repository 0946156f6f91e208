"""Stage `report`: the key metrics of a run, and all of it as one HTML page."""

from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from celeba_vae.params import Params, load_params
from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.places import KEY_METRICS, METRICS, REPORT
from stages.runner import run

# The parameters as committed, whatever params.yaml holds now.
_DEFAULTS = Path("src/celeba_vae/defaults.yaml")


def report(params: Params) -> None:
    """Read what all stages left, write data/report/report.html and data/metrics.json."""
    from celeba_vae.report.build import build_report
    from celeba_vae.report.key_metrics import key_metrics
    from celeba_vae.report.metrics import read_metrics
    from celeba_vae.runtime.outs import Result, write_result

    page = build_report(
        REPORT.parent,
        groups=_groups(params),
        defaults=_groups(load_params(_DEFAULTS)),
        code=_code(),
    )
    result = Result({"report.html": page.encode()}, key_metrics(read_metrics(METRICS)))
    write_result(result, REPORT, KEY_METRICS)


def _groups(params: Params) -> dict[str, Any]:
    """Return the parameters that results depend on, by group; those without one by their name."""
    return {
        "download": params.download.model_dump(),
        "prepare": params.prepare.model_dump(),
        "model": params.model.model_dump(),
        "train": params.train.model_dump(),
        "zpoints": params.zpoints.model_dump(),
        "generate": params.generate.model_dump(),
        "attributes": params.attributes.model_dump(),
        "evaluate": params.evaluate.model_dump(),
        "threads": params.threads,
        "instructions": params.instructions,
    }


def _code() -> dict[str, str]:
    """Return the sha256 of each source file that DVC hashes for this stage, by its name."""
    ignored = GitIgnoreSpec.from_lines(Path(".dvcignore").read_text(encoding="utf-8").splitlines())
    files = [path for top in ("src", "stages") for path in Path(top).rglob("*") if path.is_file()]
    names = sorted(str(path) for path in files if not ignored.match_file(path))
    return {name: sha256_of(Path(name)) for name in names}


if __name__ == "__main__":
    run(report)
