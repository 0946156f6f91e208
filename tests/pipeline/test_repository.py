"""What is committed fits together."""

import subprocess

import pytest
import yaml

from celeba_vae.params import load_params
from tests.support import ROOT, run

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_every_stage_is_described_and_names_its_own_source() -> None:
    for name, stage in PIPELINE["stages"].items():
        assert stage["desc"]
        assert stage["cmd"] == f"exec env PYTHONPATH=src python -m stages.{name}"
        assert (ROOT / f"stages/{name}.py").read_text().count("\n") <= 45


def test_committed_default_needs_no_network() -> None:
    assert load_params(ROOT / "params.yaml").download.source == "synthetic"


def test_packages_are_empty() -> None:
    for path in ROOT.glob("src/celeba_vae/*/**/__init__.py"):
        assert path.stat().st_size == 0, path


def test_lock_is_that_of_the_committed_parameters_and_code() -> None:
    lock = ROOT / "dvc.lock"
    if not lock.exists():
        pytest.fail("dvc.lock is missing: run `dvc repro` and commit it")
    recorded = yaml.safe_load(lock.read_text())["stages"]
    current = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, stage in PIPELINE["stages"].items():
        for group in stage["params"]:
            assert recorded[name]["params"]["params.yaml"][group] == current[group], (name, group)
    done = run("dvc", "repro", "--dry", "--allow-missing", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout, "dvc.lock is behind the code: run `dvc repro`"


def test_no_large_file_and_no_data_in_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, listed):
        path = ROOT / name
        assert path.suffix not in {".npy", ".npz", ".h5", ".zip", ".keras"}, name
        assert not path.exists() or path.stat().st_size < 2**20, name
