"""Threads, determinism and precision of TensorFlow and JAX, so that they give the same bits twice.

Knows no stage.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.switches import Instructions, set_switches

# What TensorFlow's C++ part says at start whatever TF_CPP_MIN_LOG_LEVEL is: notes and warnings
# on the processor and on missing GPU libraries. Errors start with E or F and are let through.
_NOISE = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")
# An error only where there is a GPU driver.
_NO_DRIVER = re.compile(rb"E\d{4} .*failed call to cuInit")
_DRIVER = Path("/dev/nvidiactl")


def configure_backend(backend: str, threads: int, instructions: Instructions) -> None:
    """Configure the backend that trains: "tensorflow" or "jax".

    Raises:
        RuntimeError, UserError: see `configure_tensorflow` and `configure_jax`.
    """
    if backend == "jax":
        configure_jax(threads, instructions)
    else:
        configure_tensorflow(threads, instructions)


def configure_jax(threads: int, instructions: Instructions) -> Any:
    """Import JAX with every switch set that its results depend on, and return the module.

    On a processor `threads` is the size of its pool of threads (by default as many as there are
    processors). On a GPU only kernels are used that add in the same order each time, and they
    are chosen without measuring which is faster, for that differs from run to run. float32 means
    float32, not TensorFloat-32. TensorFlow is not imported.

    Args:
        threads: threads that one operation may use.
        instructions: what its kernels on a processor may use.

    Raises:
        RuntimeError: JAX or Keras was imported before, so that the switches would come too late.
        UserError: JAX is not installed.
    """
    if "jax" in sys.modules or "keras" in sys.modules:
        raise RuntimeError("configure_jax must run before JAX and Keras are imported")
    set_switches(instructions)
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["NPROC"] = str(threads)
    flags = [os.environ.get("XLA_FLAGS", ""), "--xla_gpu_deterministic_ops=true"]
    if instructions == "avx2":
        flags.append("--xla_cpu_max_isa=AVX2")
    os.environ["XLA_FLAGS"] = " ".join(filter(None, flags))
    try:
        import jax
    except ModuleNotFoundError:
        raise UserError(
            "train.backend is jax, but JAX is not installed: `pip install -e '.[jax]'`, on a GPU "
            "also `pip install 'jax[cuda13]'`; or set train.backend=tensorflow"
        ) from None
    jax.config.update("jax_default_matmul_precision", "highest")
    pin_linear_algebra()
    return jax


def configure_tensorflow(threads: int, instructions: Instructions) -> Any:
    """Import TensorFlow with every switch set that its results depend on, and return the module.

    oneDNN is on, operations run one after another (two
    at a time add in changing order, and no seed helps), `threads` is the number of threads within
    an operation (it changes the last bits; the number of processors does not). NumPy's and
    SciPy's linear algebra gets one thread, for it follows the number of processors otherwise.

    Args:
        threads: threads within one operation.
        instructions: what its kernels may use.

    Raises:
        RuntimeError: TensorFlow was imported before, so that the switches would come too late.
    """
    if "tensorflow" in sys.modules:
        raise RuntimeError("configure_tensorflow must run before TensorFlow is imported")
    set_switches(instructions)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_startup_noise():
        import tensorflow as tf

        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
        # Start the runtime here, while what it says is filtered.
        tf.config.list_logical_devices()
    pin_linear_algebra()
    return tf


def pin_linear_algebra() -> None:
    """Give the BLAS and OpenMP pools of the libraries loaded so far one thread.

    Their number of threads follows the processors and changes the order of additions.
    """
    # SciPy brings a BLAS of its own, which must be loaded to be pinned.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)


@contextmanager
def _without_startup_noise() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then let all but the noise through."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not _is_noise(line):
                    os.write(2, line)


def _is_noise(line: bytes) -> bool:
    if _NOISE.match(line):
        return True
    return bool(_NO_DRIVER.match(line)) and not _DRIVER.exists()
