"""The machine that computes: versions, instructions and device, on which last bits may depend."""

import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from celeba_vae.runtime.mappings import changes
from celeba_vae.runtime.reading import read_object

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
# oneDNN reads it: the newest CPU instructions that it may use.
_ISA_VARIABLE = "ONEDNN_MAX_CPU_ISA"


def describe_machine(threads: int) -> dict[str, Any]:
    """Return what the bits of a trained model may depend on beside parameters, data and code.

    Args:
        threads: TensorFlow's threads within an operation.

    Returns:
        "python" and the versions of the packages that compute; "processor", its name;
        "features", its groups of instructions as NumPy names them; "blas", the processors that
        the linear algebra of NumPy and SciPy is compiled for; "cores", which change no bits;
        "threads"; "switches" that `configure_tensorflow` sets or leaves to the user; and "device".
    """
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
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "processor": _processor(),
        "features": list(found),
        "blas": sorted({library["architecture"] for library in libraries}),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "switches": {
            "onednn": True,
            "onednn_max_cpu_isa": os.environ.get(_ISA_VARIABLE, "all"),
            "inter_op_threads": 1,
            "op_determinism": True,
        },
        "device": _device(),
    }


def training_machine(threads: int, backend: str, *, processes: int) -> dict[str, Any]:
    """Return what the bits of the weights may depend on: a part of `describe_machine`.

    Args:
        threads: the backend's threads within an operation.
        backend: "tensorflow" or "jax", which has switches of its own.
        processes: how many train together.
    """
    machine = describe_machine(threads)
    machine["packages"] = {name: version(name) for name in _TRAINING_PACKAGES[backend]}
    if backend == "jax":
        machine["switches"] = {"xla_flags": os.environ.get("XLA_FLAGS", "")}
    machine["processes"] = processes
    # Neither backend uses NumPy's and SciPy's linear algebra.
    for changes_no_bits in ("processor", "cores", "blas"):
        del machine[changes_no_bits]
    return machine


def differences(recorded: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return what differs between two machines, each as `key: recorded, here value`.

    The processor's name and the number of cores are left out: they change no bits, the
    processor's features may.
    """
    first, second = (
        {key: value for key, value in machine.items() if key not in ("processor", "cores")}
        for machine in (recorded, here)
    )
    return changes(first, second, label="here")


def note_differences(threads: int) -> None:
    """Say on stderr in what this machine differs from the one that made the committed results.

    Args:
        threads: TensorFlow's threads within an operation.
    """
    if not MACHINE_FILE.exists():
        return
    differing = differences(read_machine(), describe_machine(threads))
    if differing:
        print(
            f"note: not the kind of machine that made dvc.lock ({'; '.join(differing)}): the same "
            "data and parameters give the same metrics, but perhaps other bytes of the model",
            file=sys.stderr,
        )


def read_machine(path: Path = MACHINE_FILE) -> dict[str, Any]:
    """Return the recorded machine.

    Raises:
        UserError: there is no such file, or it is not a JSON object.
    """
    return read_object(path, fix="`celeba-vae machine --record` writes it for this machine")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1].strip() if name else platform.processor() or "unknown"


def _device() -> str:
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
