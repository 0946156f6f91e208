"""Several processes that train one model on JAX: how they join, agree, and end together.

They are started by the conventions of the engines. By hand these are Keras' variables

    KERAS_DISTRIBUTION_JOB_ADDRESSES    host:port of the main process (of a list, the first counts)
    KERAS_DISTRIBUTION_NUM_PROCESSES    how many there are
    KERAS_DISTRIBUTION_PROCESS_ID       which this one is; 0 is the main process

and under Slurm's `srun` or Open MPI's `mpirun` JAX itself finds all three. Where none of them says
that there is more than one process, nothing here does anything, and JAX is not imported.
"""

import atexit
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from tqdm import tqdm

from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.progress import progress_bar

_ADDRESS = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
_COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"
_INDEX = "KERAS_DISTRIBUTION_PROCESS_ID"
# How many processes a launcher has started together, in the environment of each of them.
_LAUNCHED = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")


@contextmanager
def process_group(backend: str) -> Iterator[None]:
    """Join the processes that were started together, for the block that trains.

    They leave it together. One that fails within it ends at once, whereupon the collective
    operations of the others fail, and they end too.

    Args:
        backend: "tensorflow" or "jax", already configured.

    Raises:
        UserError: the backend trains in one process only, the variables make no sense, or another
            process is gone.
    """
    count = _started()
    if count == 1:
        yield
        return
    if backend != "jax":
        raise UserError(
            f"train.backend = {backend} trains in one process, but {count} were started together "
            f"({_source()}); set train.backend=jax, or start one"
        )
    import jax

    _join(count)
    try:
        yield
        leave_together()
    except BaseException as error:
        if jax.distributed.is_initialized():
            # At its end JAX would wait for the others, while they wait for this process.
            atexit.register(_end_now, _status_of(error))
        if "Gloo" in str(error) and isinstance(error, ValueError | RuntimeError):
            raise UserError(
                "another process of this training is gone, see what it said "
                f"({str(error).splitlines()[0]}); the last good state is kept, start all "
                "processes again to go on from there"
            ) from None
        raise


def process_count() -> int:
    """Return how many processes train together; 1 outside of a `process_group`."""
    return int(sys.modules["jax"].process_count()) if _joined() else 1


def is_main() -> bool:
    """Return whether this is the main process, 0: the only one that writes and reports progress."""
    return not _joined() or sys.modules["jax"].process_index() == 0


def main_bar(total: int, *, label: str, unit: str, done: int = 0) -> "tqdm[Any]":
    """Return a `progress_bar` in the main process, in others one that prints nothing."""
    if is_main():
        return progress_bar(total, label=label, unit=unit, done=done)
    return tqdm(total=total, disable=True)


def largest(value: int) -> int:
    """Return the largest of the processes' values; each of them must call it."""
    if not _joined():
        return value
    from jax.experimental.multihost_utils import process_allgather

    return int(process_allgather(np.int32(value)).max())


def from_main(data: bytes) -> bytes:
    """Return the bytes that the main process calls this with; each process must call it."""
    if not _joined():
        return data
    from jax.experimental.multihost_utils import broadcast_one_to_all

    length = largest(len(data) if is_main() else 0)
    own = np.zeros(length, np.uint8)
    if is_main():
        own[:] = np.frombuffer(data, np.uint8)
    received: bytes = np.asarray(broadcast_one_to_all(own)).tobytes()
    return received


def leave_together() -> None:
    """Wait until each process has come here, then leave the group."""
    if not _joined():
        return
    # Not shutdown's own barrier alone: when a process is gone it ends the others without a word.
    largest(0)
    sys.modules["jax"].distributed.shutdown()


def _joined() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and bool(jax.distributed.is_initialized())


def _started() -> int:
    source = _source()
    return 1 if source is None else _number(source, lowest=1)


def _source() -> str | None:
    """Return the variable that says how many processes were started together."""
    if any(name in os.environ for name in (_ADDRESS, _COUNT, _INDEX)):
        return _COUNT
    return next((name for name in _LAUNCHED if name in os.environ), None)


def _join(count: int) -> None:
    given = _given(count) if _source() == _COUNT else {}
    import jax

    # JAX would catch SIGTERM itself, of which the fit makes a state and a clean end.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**given)
    except ValueError as error:
        raise UserError(
            f"{_source()} = {count}, but JAX does not find out how these processes reach each "
            f"other ({error}); give {_ADDRESS}, {_COUNT} and {_INDEX} to each of them"
        ) from None


def _given(count: int) -> dict[str, Any]:
    """Return what the variables say to JAX, and say for whom this process waits."""
    index = _number(_INDEX, lowest=0)
    if index >= count:
        raise UserError(f"{_INDEX} = {index} must be below {_COUNT} = {count}")
    address = _address(is_main=index == 0)
    print(
        f"Process {index} of {count} waits for the others, up to five minutes; process 0 is at "
        f"{address}",
        file=sys.stderr,
        flush=True,
    )
    return {
        "coordinator_address": address,
        "num_processes": count,
        "process_id": index,
        "cluster_detection_method": "deactivate",
    }


def _number(name: str, *, lowest: int) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal() or len(text) > 9 or int(text) < lowest:
        raise UserError(
            f"{name} = {text[:60]!r} is not a number from {lowest}; to train in several processes "
            f"give {_ADDRESS}, {_COUNT} and {_INDEX}, for one process none of them"
        )
    return int(text)


def _address(*, is_main: bool) -> str:
    address = os.environ.get(_ADDRESS, "").partition(",")[0]
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise UserError(
            f"{_ADDRESS} = {address!r} is not an address: give host:port of process 0, such as "
            "192.0.2.1:8476, with a free port"
        )
    if is_main:
        # JAX crashes without a word when the port is taken.
        with socket.socket(socket.AF_INET6) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("::", int(port)))
            except OSError as error:
                raise UserError(
                    f"{_ADDRESS} = {address}: port {port} cannot be used here: {reason_of(error)}"
                ) from None
    return address


def _status_of(error: BaseException) -> int:
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _end_now(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
