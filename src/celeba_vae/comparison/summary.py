"""One run in a terminal: where its pictures are, its key metrics, and what to do next."""

from pathlib import Path

from celeba_vae.comparison.runs import WORKSPACE, Run, check_made, read_run
from celeba_vae.report.key_metrics import KEY_METRICS, reading, shown
from celeba_vae.report.metrics import FIX, read_metrics
from celeba_vae.report.readings import Step, next_steps
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.mappings import flatten
from celeba_vae.runtime.places import METRICS, MODEL, REPORT
from celeba_vae.runtime.reading import read_tsv
from celeba_vae.runtime.strict_yaml import read_yaml

_DEFAULTS = Path("src/celeba_vae/defaults.yaml")

_PLACES = """
Results
  data/report/report.html  all of the run on one page: open it in a browser
  data/samples/            overview.png; generated faces, reconstructions, interpolations
  data/zpoints/plots/      where the z-points lie
  data/evaluation/plots/   best and worst reconstructions, training faces nearest to generated ones
  dvc plots show           learning curves, faces and z-points as one page of DVC"""

_NOTHING = """
No results lie in data/ yet: `make repro` makes them. What is committed says of the last run:"""


def summarize() -> str:
    """Return what to know first of the run in data/ of the current folder.

    Raises:
        UserError: it was not run, was broken off or is of other code, or a file of it is missing,
            damaged, or of another run.
    """
    run = read_run(WORKSPACE, Path())
    metrics = "\n".join(["", "Key metrics (data/metrics.json; `dvc metrics show`)", *_lines(run)])
    if not (REPORT / "report.html").is_file():
        return f"{_NOTHING}\n{metrics}"
    check_made(run, Path(), map(str, (METRICS, MODEL, REPORT)))
    steps = [line for step in _next(run) for line in (f"  {step.why}:", f"    {step.command}")]
    return "\n".join([_PLACES, metrics, "", "Next", *steps])


def _lines(run: Run) -> list[str]:
    return [
        f"  {name:<9}{shown(name, value):>10}  {reading(name):<23}  {KEY_METRICS[name].meaning}"
        for name, value in run.metrics.items()
    ]


def _next(run: Run) -> list[Step]:
    defaults = flatten(read_yaml(_DEFAULTS))
    for name in defaults:
        if name not in run.parameters and not name.startswith("run."):
            raise UserError(f"dvc.lock: is of other code, without the parameter {name}; {FIX}")
    differing = {
        name: value for name, value in run.parameters.items() if value != defaults.get(name)
    }
    losses = _losses(MODEL / "history.tsv")
    return next_steps(read_metrics(METRICS), losses, differing, run.groups)


def _losses(path: Path) -> list[float]:
    """Return the loss on validation images after each epoch."""
    header, rows = read_tsv(path, fix=FIX)
    try:
        return [float(row[header.index("val_loss")]) for row in rows]
    except ValueError:
        raise UserError(f"{path}: holds no losses of validation; {FIX}") from None
