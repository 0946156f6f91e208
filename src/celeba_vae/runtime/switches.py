"""Switches that libraries take from environment variables: instructions, precision, threads.

Imports no library: NumPy and OpenBLAS read theirs when they are loaded.
"""

import os
import platform
import re
import sys
from pathlib import Path
from typing import Literal

from celeba_vae.runtime.errors import UserError, printable

# What the kernels of all libraries may use of a processor: up to AVX2, or all it has.
Instructions = Literal["avx2", "native"]

# What each library is told so that processors with more than AVX2 compute as those without, and
# those of one vendor as those of another.
_AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # NumPy's and SciPy's linear algebra; for AMD's processors it has kernels of its own.
    "OPENBLAS_CORETYPE": "Haswell",
    # NumPy's groups of instructions above AVX2. It does not mind a group that is not there.
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
_ALWAYS = {
    # By default it depends on the processor.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # No folder: a user's keras.json changes the precision and the order of the axes.
    "KERAS_HOME": os.devnull,
    # scikit-learn adds up in the order in which threads end; what is set later is not known to
    # other threads than the one that set it.
    "OMP_NUM_THREADS": "1",
}
_CPUINFO = Path("/proc/cpuinfo")
# The libraries take switches from the surroundings, many of which change bits. None is taken ...
_SWITCHES = re.compile(
    "(CV|DNNL|JAX|KERAS|MKL|NPY|NVIDIA_TF32|OMP|ONEDNN|OPENBLAS|OPENCV|SCIPY|SKLEARN|TF|XLA)_"
)
# ... but these: what is logged, what devices there are and how their memory is used, which
# processes train together, and the backend, which backend.py sets. XLA's are part of the machine.
_TAKEN = re.compile(
    "TF_CPP_|TF_FORCE_GPU_ALLOW_GROWTH$|TF_GPU_ALLOCATOR$|JAX_PLATFORMS$|JAX_COMPILATION_CACHE_"
    "|JAX_TRACEBACK_FILTERING$|JAX_LOG_|XLA_PYTHON_CLIENT_|XLA_CLIENT_|XLA_FLAGS$"
    "|KERAS_BACKEND$|KERAS_DISTRIBUTION_"
    # Terraform's have the same beginning.
    "|TF_(CLI|VAR|LOG|TOKEN|DATA_DIR|IN_AUTOMATION|WORKSPACE|PLUGIN|REGISTRY)"
)


def set_switches(instructions: Instructions) -> None:
    """Set all switches that NumPy and the other libraries take from environment variables.

    Must run before they are imported. A variable that the user has set otherwise is named on
    stderr, for it has no effect.

    Args:
        instructions: what their kernels may use of the processor.
    """
    limited = instructions == "avx2" and platform.machine() == "x86_64"
    wanted = _ALWAYS | (_AVX2 if limited else {})
    for name, value in sorted(os.environ.items()):
        if not _SWITCHES.match(name) or _TAKEN.match(name) or value == wanted.get(name):
            continue
        del os.environ[name]
        # A process that has set its own switches passes them on to those that it starts.
        if value != (_ALWAYS | _AVX2).get(name):
            print(
                f"note: {name}={printable(value)} is not used: what changes bits is set by "
                "params.yaml alone",
                file=sys.stderr,
            )
    os.environ.update(wanted)


def check_processor(instructions: Instructions) -> None:
    """Check that this processor has the instructions that the same bits everywhere need.

    Raises:
        UserError: it lacks them.
    """
    if instructions == "native":
        return
    what = platform.machine()
    if what == "x86_64":
        flags = _CPUINFO.read_text(encoding="utf-8").split()
        if {"avx2", "fma"} <= set(flags):
            return
        what = "one without AVX2 and FMA"
    raise UserError(
        f"instructions is avx2, but this processor is {what}: set instructions=native, which gives "
        "the same metrics in about three digits, and other bytes"
    )
