"""Run a stage: check the code, read the parameters, end with one clear line."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import celeba_vae
from celeba_vae.params import Params, load_params
from celeba_vae.runtime.console import announced
from celeba_vae.runtime.ending import ending_in_one_line
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.processes import die_with_parent
from celeba_vae.runtime.strict_yaml import read_yaml
from celeba_vae.runtime.switches import check_processor, set_switches


def run(stage: Callable[[Params], None]) -> None:
    """Run a stage in the current folder and end the process with its status.

    A user's mistake, a full disk or a folder that cannot be written ends with one line and status
    1, Ctrl-C and SIGTERM with status 130 and 143: DVC would take a stage that ends with 0 for
    finished. A stage whose DVC is killed dies with it. DVC notes code and parameters when a stage
    has ended; so a stage during which they were edited ends with an error.
    """
    if sys.argv[1:]:
        sys.exit(
            f"error: {stage.__name__} takes no arguments: its parameters are in params.yaml, see "
            "`celeba-vae parameters --help`"
        )
    die_with_parent(os.getppid())
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with ending_in_one_line():
            _check_own_code()
            params = load_params()
            check_processor(params.instructions)
            check_network(params)
            # Before a stage imports NumPy. Those that let kernels use more say so themselves.
            set_switches("avx2")
            code = {name: sha256_of(Path(name)) for name in _source_files()}
            with announced(stage.__name__):
                stage(params)
                _check_unedited(stage.__name__, params, code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def check_network(params: Params) -> None:
    """Check that the file that evaluate.fid names is there, before hours of training.

    Raises:
        UserError: it is not.
    """
    network = params.evaluate.fid
    if network is not None and not Path(network).is_file():
        raise UserError(f"evaluate.fid = {network}: is not a file; give it, or leave it empty")


def loaded_code() -> dict[str, str]:
    """Return the sha256 of each of the project's source files that is imported, by name.

    Without params.py, which checks values and makes none.
    """
    return {name: sha256_of(Path(name)) for name in _imported() if not name.endswith("/params.py")}


def _imported() -> list[str]:
    files = {
        Path(str(module.__file__)).resolve()
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("celeba_vae", "stages", "__main__")
        and getattr(module, "__file__", None)
    }
    return [name for name in _source_files() if Path(name).resolve() in files]


def _source_files() -> list[str]:
    return sorted(str(path) for top in ("src", "stages") for path in Path(top).rglob("*.py"))


def _check_unedited(stage: str, params: Params, code: dict[str, str]) -> None:
    """Raise UserError if what DVC will note of this run is not what it ran with."""
    for name in _imported():
        if code.get(name) != sha256_of(Path(name)):
            raise UserError(
                f"{name} was edited while {stage} ran: DVC would note the new code for what the "
                "old one made; run it again"
            )
    now = load_params()
    for group in read_yaml(Path("dvc.yaml"))["stages"][stage]["params"]:
        if getattr(now, group) != getattr(params, group):
            raise UserError(
                f"params.yaml: {group} was edited while {stage} ran: DVC would note the new values "
                "for what the old ones made; run it again"
            )


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _check_own_code() -> None:
    # DVC runs experiments in copies of the project; an installed celeba_vae is the original's.
    own = Path("src/celeba_vae").resolve()
    imported = Path(str(celeba_vae.__file__)).resolve().parent
    if imported != own:
        raise UserError(
            f"celeba_vae comes from {imported}, not from this checkout's {own}; run stages as "
            "`PYTHONPATH=src python -m stages.NAME` at the top of the project"
        )
