"""What every stage does around its work: check, read the parameters, end with one clear line."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import celeba_vae
from celeba_vae.errors import UserError
from celeba_vae.params import Params, load_params
from celeba_vae.processes import die_with_parent

RAW, SHARDS, MODEL = Path("data/raw"), Path("data/shards"), Path("data/model")
ZPOINTS, SAMPLES, METRICS = Path("data/zpoints"), Path("data/samples"), Path("data/metrics")


def run(stage: Callable[[Params], None]) -> None:
    """Run a stage in the current folder and end the process with its status.

    A user's mistake, a full disk or a folder that cannot be written ends with one line and status
    1, Ctrl-C and SIGTERM with status 130 and 143: DVC would take a stage that ends with 0 for
    finished. A stage whose DVC is killed dies with it.
    """
    die_with_parent(os.getppid())
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _check_own_code()
        stage(load_params())
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted: nothing of this stage was kept", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


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
