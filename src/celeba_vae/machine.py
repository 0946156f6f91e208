"""The machine that computes: versions, instructions and device, on which last bits may depend.

With instructions of avx2 the processor is not part of it, for all give the same bits.
"""

import os
import platform
import re
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from celeba_vae.runtime.mappings import changes
from celeba_vae.runtime.reading import read_object
from celeba_vae.runtime.switches import Instructions

MACHINE_FILE = Path("data/machine.json")

_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "scikit-learn",
    "h5py",
    "pillow",
    "opencv-python-headless",
    "matplotlib",
)
# What trains, by the backend.
_TRAINING_PACKAGES = {
    "tensorflow": ("tensorflow", "keras", "numpy"),
    "jax": ("jax", "jaxlib", "keras", "numpy"),
}


def describe_machine(threads: int, instructions: Instructions) -> dict[str, Any]:
    """Return what the bits of a trained model may depend on beside parameters, data and code.

    Args:
        threads: TensorFlow's threads within an operation.
        instructions: what the kernels of all libraries may use of the processor.

    Returns:
        "python" and the versions of the packages that compute; "threads" and "instructions";
        "switches" that `configure_tensorflow` sets; and "device". With native instructions also
        "features", the processor's groups of instructions as NumPy names them, and "blas", the
        processors that the linear algebra of NumPy and SciPy is compiled for.
    """
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": ".".join(platform.python_version_tuple()[:2]),  # the third changes no bytes
        "packages": _versions(_PACKAGES),
        "threads": threads,
        "instructions": instructions,
        "switches": {"onednn": True, "inter_op_threads": 1, "op_determinism": True},
        "device": device(),
    }
    return machine | (_processor_features() if instructions == "native" else {})


def processor() -> str:
    """Return the processor's name and how many this process may use, in words."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or "unknown"
    return f"{name}, {len(os.sched_getaffinity(0))} processors"


def _processor_features() -> dict[str, list[str]]:
    # NumPy and SciPy take a while to load, which the help of the command line need not wait for.
    import numpy as np
    import scipy.linalg  # noqa: F401  (it brings a BLAS of its own)
    from threadpoolctl import threadpool_info

    # By the folders of their wheels: other packages bring a BLAS too, which computes nothing here.
    libraries = [
        library
        for library in threadpool_info()
        if Path(library["filepath"]).parent.name in ("numpy.libs", "scipy.libs")
    ]
    return {
        "features": list(np.show_config(mode="dicts")["SIMD Extensions"]["found"]),
        "blas": sorted({library["architecture"] for library in libraries}),
    }


def _versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each package, None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def training_machine(
    threads: int, instructions: Instructions, backend: str, *, processes: int
) -> dict[str, Any]:
    """Return what the bits of the weights may depend on: a part of `describe_machine`.

    Args:
        threads: the backend's threads within an operation.
        instructions: what its kernels may use of the processor.
        backend: "tensorflow" or "jax", which has switches of its own.
        processes: how many train together.
    """
    machine = describe_machine(threads, instructions)
    machine["packages"] = _versions(_TRAINING_PACKAGES[backend])
    if backend == "jax":
        machine["switches"] = {"xla_flags": os.environ.get("XLA_FLAGS", "")}
    machine["processes"] = processes
    # Neither backend uses NumPy's and SciPy's linear algebra.
    machine.pop("blas", None)
    return machine


def differences(recorded: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return what differs between two machines, each as `key: recorded, here value`."""
    return changes(recorded, here, label="here")


def note_differences(threads: int, instructions: Instructions) -> None:
    """Say on stderr in what this machine differs from the one that made the committed results.

    Args:
        threads: TensorFlow's threads within an operation.
        instructions: what its kernels may use of the processor.
    """
    if not MACHINE_FILE.exists():
        return
    differing = differences(read_machine(), describe_machine(threads, instructions))
    if differing:
        print(
            f"note: this machine differs from the one that made dvc.lock ({'; '.join(differing)}): "
            "the same data and parameters give the same metrics, but perhaps other bytes",
            file=sys.stderr,
        )


def read_machine(path: Path = MACHINE_FILE) -> dict[str, Any]:
    """Return the recorded machine.

    Raises:
        UserError: there is no such file, or it is not a JSON object.
    """
    return read_object(path, fix="`celeba-vae machine --record` writes it for this machine")


def device() -> str:
    """Return the device that Keras' backend computes on, where Keras is loaded; not loaded here.

    TensorFlow itself imports JAX, which must not start beside it.
    """
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() == "jax":
        devices = sys.modules["jax"].local_devices()
        if devices[0].platform == "cpu":
            return "CPU"
        version = " ".join(devices[0].client.platform_version.split())
        several = f"{len(devices)} times " if len(devices) > 1 else ""
        return f"{several}{devices[0].device_kind}, {version}"
    tensorflow = sys.modules.get("tensorflow")
    devices = tensorflow.config.list_logical_devices("GPU") if tensorflow else []
    return str(devices[0].name) if devices else "CPU"
