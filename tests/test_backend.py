import os
import subprocess
import sys

import pytest
import tensorflow as tf
from threadpoolctl import threadpool_info

from celeba_vae.backend import _is_noise, configure_jax, configure_tensorflow
from tests.support import ROOT, run


def test_switches_are_set() -> None:
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert tf.config.threading.get_intra_op_parallelism_threads() == 2
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}


def test_what_needs_more_than_avx2() -> None:
    wanted = (
        "tests/model/test_layers.py",
        "tests/model/test_losses.py",
        "tests/training/test_fit.py",
    )
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *wanted)
    done = run(*command, cwd=ROOT, env={"TESTED_INSTRUCTIONS": "native"}, timeout=280)
    assert done.returncode == 0, done.stdout
    assert "13 passed" in done.stdout


@pytest.mark.slow
def test_what_needs_more_than_avx2_and_time() -> None:
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    done = run(
        *command, "tests/training/test_jax.py", cwd=ROOT, env={"TESTED_INSTRUCTIONS": "native"}
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_too_late_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="before TensorFlow is imported"):
        configure_tensorflow(2, "avx2")


def test_jax_after_keras_is_an_error() -> None:
    import keras  # noqa: F401

    with pytest.raises(RuntimeError, match="before JAX and Keras are imported"):
        configure_jax(2, "avx2")


@pytest.mark.parametrize("installed", [True, False])
def test_jax_is_configured_or_asked_for(installed: bool) -> None:
    code = "import sys\n"
    if not installed:
        code += """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""
    code += """
import os
from celeba_vae.backend import configure_backend
configure_backend("jax", 3, "avx2")
import keras
print(keras.backend.backend(), os.environ["XLA_FLAGS"], "tensorflow" in sys.modules)
"""
    env = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "XLA_FLAGS": "--xla_dump_max_hlo_modules=1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    if installed:
        flags = "--xla_dump_max_hlo_modules=1 --xla_gpu_deterministic_ops=true"
        flags += " --xla_cpu_max_isa=AVX2"
        assert done.stdout == f"jax {flags} False\n", done.stderr
    else:
        assert "UserError: train.backend is jax, but JAX is not installed" in done.stderr


def test_start_is_silent_but_errors_are_heard() -> None:
    code = """
import os
from celeba_vae import backend as d
tf = d.configure_tensorflow(2, "avx2")
tf.constant(1.0) + 1.0
try:
    tf.random.normal((2,))  # an error where operations are deterministic
except RuntimeError as error:
    print(str(error)[:25])
with d._without_startup_noise():
    os.write(2, b"I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on.\\n")
    os.write(2, b"E0000 00:00:1.2 3 real.cc:1] something is wrong\\n")
    raise SystemExit("stopped")
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "Random ops require a seed\n"
    assert done.stderr == "E0000 00:00:1.2 3 real.cc:1] something is wrong\nstopped\n"


@pytest.mark.parametrize(
    ("line", "noise"),
    [
        (b"W0000 00:00:1.2 3 a.cc:1] x\n", True),
        (b"WARNING: All log messages before absl::InitializeLog() is called are\n", True),
        (b"F0000 00:00:1.2 3 a.cc:1] x\n", False),
        (b"WARNING: the disk is full\n", False),
        (b"Traceback (most recent call last):\n", False),
    ],
)
def test_what_is_noise(line: bytes, noise: bool) -> None:
    assert _is_noise(line) is noise
