import copy
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from celeba_vae.cli.program import cli
from celeba_vae.machine import (
    MACHINE_FILE,
    describe_machine,
    differences,
    note_differences,
    read_machine,
    training_machine,
)
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT, run


def test_a_machine_is_what_its_libraries_say() -> None:
    machine = describe_machine(3, "avx2")
    assert json.loads(json.dumps(machine)) == machine
    assert machine["packages"]["numpy"] == np.__version__
    assert machine["packages"]["tensorflow"] == version("tensorflow")
    assert machine["python"] == ".".join(map(str, sys.version_info[:2]))
    assert machine["threads"] == 3
    assert machine["device"] == "CPU"


def test_with_native_instructions_the_processor_is_part_of_it(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(
        text.replace("instructions: avx2", "instructions: native")
    )
    done = run(
        "celeba-vae", "machine", "--record", cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.returncode == 0, done.stderr
    native = json.loads((tmp_path / MACHINE_FILE).read_text())
    here = describe_machine(2, "avx2")
    assert native.pop("features")
    assert native.pop("blas")
    assert native | {"instructions": "avx2"} == here


def test_each_backend_trains_with_its_own_packages_and_switches() -> None:
    on_tensorflow = training_machine(2, "avx2", "tensorflow", processes=1)
    on_jax = training_machine(2, "avx2", "jax", processes=3)
    assert on_tensorflow["packages"]["tensorflow"] == version("tensorflow")
    assert "jax" not in on_tensorflow["packages"]
    assert on_jax["packages"]["jaxlib"] == version("jaxlib")
    assert "tensorflow" not in on_jax["packages"]
    assert on_tensorflow["switches"]["onednn"]
    assert list(on_jax["switches"]) == ["xla_flags"]
    assert (on_tensorflow["processes"], on_jax["processes"]) == (1, 3)


def test_on_tensorflow_jax_is_not_started(tmp_path: Path) -> None:
    script = """
from celeba_vae.backend import configure_tensorflow
configure_tensorflow(2, "avx2")
import jax  # as TensorFlow's converters do
import keras
from celeba_vae.machine import describe_machine
describe_machine(2, "avx2")
from jax._src.xla_bridge import backends_are_initialized
assert keras.backend.backend() == "tensorflow"
assert not backends_are_initialized()
"""
    done = run(sys.executable, "-c", script, cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 0, done.stderr


def test_differences_are_named() -> None:
    here = describe_machine(2, "avx2")
    assert differences(here, here) == []
    other = copy.deepcopy(here)
    other |= {"threads": 4, "instructions": "native", "features": ["ONLY"]}
    other["packages"]["keras"] = "1.0"
    assert differences(other, here) == [
        f"packages.keras: 1.0, here {version('keras')}",
        "threads: 4, here 2",
        "instructions: native, here avx2",
        "features: ONLY, here none",
    ]


def test_training_says_where_the_machine_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    note_differences(2, "avx2")
    assert capsys.readouterr().err == ""
    recorded = describe_machine(2, "avx2")
    MACHINE_FILE.parent.mkdir()
    MACHINE_FILE.write_text(json.dumps(recorded))
    note_differences(2, "avx2")
    assert capsys.readouterr().err == ""
    MACHINE_FILE.write_text(json.dumps(recorded | {"device": "GPU:0"}))
    note_differences(2, "avx2")
    assert "(device: GPU:0, here CPU)" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_broken_record_gets_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "machine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=str(path)):
        read_machine(path)


def test_the_command_records_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    # In this process TensorFlow has been configured.
    monkeypatch.setattr("celeba_vae.backend.configure_tensorflow", lambda *given: None)
    run_here = CliRunner().invoke
    assert run_here(cli, ["machine", "--record"]).output == "wrote data/machine.json\n"
    assert "the same as in data/machine.json" in run_here(cli, ["machine"]).output
    machine = json.loads(MACHINE_FILE.read_text())
    MACHINE_FILE.write_text(json.dumps(machine | {"python": "2.7"}))
    assert "differs: python: 2.7, here " in run_here(cli, ["machine"]).output
