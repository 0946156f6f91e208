import json
import os
import sys
from pathlib import Path

import pytest

from celeba_vae.runtime import switches
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.switches import check_processor, set_switches
from tests.support import ROOT, run

SOURCES = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of the environment, which the test may change."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    monkeypatch.setattr(os, "environ", kept)
    return kept


def test_switches_of_the_surroundings_are_not_used_and_said(
    surroundings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    surroundings |= {
        "TF_XLA_FLAGS": "--tf_xla_auto_jit=2\x1b[2J",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "KERAS_HOME": "/home/someone/.keras",
        "OMP_NUM_THREADS": "7",
    }
    set_switches("avx2")
    assert surroundings["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert surroundings["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert surroundings["KERAS_HOME"] == os.devnull
    assert surroundings["OMP_NUM_THREADS"] == "1"
    gone = {"TF_XLA_FLAGS", "ONEDNN_DEFAULT_FPMATH_MODE"}
    assert not gone & set(surroundings)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    assert (
        "note: TF_XLA_FLAGS=--tf_xla_auto_jit=2\\x1b[2J is not used: what changes bits" in said[4]
    )


def test_what_a_user_decides_stays(
    surroundings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    own = {
        "CUDA_VISIBLE_DEVICES": "1",
        "JAX_PLATFORMS": "cpu",
        "KERAS_DISTRIBUTION_PROCESS_ID": "0",
        "TF_CLI_CONFIG_FILE": "/home/someone/.terraformrc",
        "TF_CPP_MIN_LOG_LEVEL": "0",
        "XLA_FLAGS": "--xla_dump_max_hlo_modules=1",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": ".9",
    }
    surroundings |= own
    set_switches("native")
    assert own.items() <= surroundings.items()
    assert capsys.readouterr().err == ""


def test_a_process_may_let_its_children_use_more(
    surroundings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_switches("avx2")
    assert {"ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"} <= set(
        surroundings
    )
    set_switches("native")
    assert not {"ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"} & set(
        surroundings
    )
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", ['{"floatx": "float16"}', '{"floatx": "x"}', "{"])
def test_a_keras_json_has_no_influence(tmp_path: Path, content: str) -> None:
    (tmp_path / ".keras").mkdir()
    settings = tmp_path / ".keras/keras.json"
    settings.write_text(content)
    script = """
from celeba_vae.runtime.switches import set_switches
set_switches("avx2")
import os, json
os.environ["KERAS_BACKEND"] = "jax"
import keras
print(json.dumps([keras.config.floatx(), keras.config.image_data_format()]))
"""
    own = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path / ".keras")}
    done = run(sys.executable, "-c", script, cwd=tmp_path, env=SOURCES | own)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["float32", "channels_last"]
    assert settings.read_text() == content


@pytest.mark.parametrize("module", ["stages.runner", "celeba_vae.cli.program"])
def test_numpy_is_not_loaded_before_its_switches_are_set(tmp_path: Path, module: str) -> None:
    script = f"""
import sys, {module}
assert not {{"numpy", "scipy", "cv2", "tensorflow", "keras"}} & set(sys.modules)
from celeba_vae.runtime.switches import set_switches
set_switches("avx2")
import numpy as np
found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
assert not {{"X86_V4", "AVX512_SKX", "AVX512_ICL", "AVX512_SPR"}} & set(found), found
"""
    done = run(sys.executable, "-W", "error", "-c", script, cwd=tmp_path, env=SOURCES)
    assert done.returncode == 0, done.stderr


def test_a_processor_without_avx2_is_told_what_it_can_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(switches, "_CPUINFO", cpuinfo)
    cpuinfo.write_text("flags : sse4_2 avx avx2 fma\n")
    check_processor("avx2")
    cpuinfo.write_text("flags : sse4_2 avx\n")
    check_processor("native")
    with pytest.raises(UserError, match=r"one without AVX2 and FMA: set instructions=native"):
        check_processor("avx2")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(UserError, match=r"this processor is aarch64: set instructions=native"):
        check_processor("avx2")
