"""What tests call: commands run as users run them, and tiny copies of the project."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from celeba_vae.model.pretrained import Pretrained, TrainedOn, save
from celeba_vae.params import ModelParams, Params
from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.outs import write_result
from celeba_vae.runtime.scratch import scratch_folder
from celeba_vae.verify.tiny_params import TINY, set_params

ROOT = Path(__file__).resolve().parent.parent

# What a model that no stage trained says it learned from.
TRAINED_ON = TrainedOn(source="synthetic", images=100, manifest="0" * 64)


def activated() -> dict[str, str]:
    """Return the environment of a user who activated the virtual environment."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(
    *command: str, cwd: Path, timeout: float = 240, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user in an activated environment would, and keep what it prints."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=activated() | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def succeed(*command: str, cwd: Path, timeout: float = 240) -> str:
    """Run a command that must succeed and return what it printed on both streams."""
    done = run(*command, cwd=cwd, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def own_environment(project: Path) -> dict[str, str]:
    """Return the environment in which a stage runs the code of its own project."""
    return os.environ | {"PYTHONPATH": str(project / "src")}


def copy_project(folder: Path) -> Path:
    """Copy the project as it stands, without data, into a git repository without a commit."""
    listed = succeed("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    succeed("git", "init", "-q", "-b", "main", cwd=folder)
    succeed("git", "config", "user.email", "test@example.org", cwd=folder)
    succeed("git", "config", "user.name", "test", cwd=folder)
    return folder


def make_project(folder: Path) -> Path:
    """Copy the project as it stands, without results, with tiny parameters, and commit it."""
    copy_project(folder)
    shutil.rmtree(folder / "data/metrics")
    (folder / "dvc.lock").unlink()
    set_params(folder, *TINY)
    commit(folder, "tiny")
    return folder


def reproduce_tiny(folder: Path) -> None:
    """Make a tiny project in `folder`, run its pipeline by DVC, and commit what came out.

    What was said on both streams lies beside it, in `folder.log`, with a line for each module that
    a process imported.
    """
    make_project(folder)
    log = folder.with_suffix(".log")
    with log.open("w") as streams:
        done = subprocess.run(
            ["dvc", "repro"],
            cwd=folder,
            env=activated() | {"PYTHONPROFILEIMPORTTIME": "1", "PYTHONUNBUFFERED": "1"},
            stdout=streams,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, log.read_text()[-5000:]
    commit(folder, "reproduced")


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder that `build` is given to fill, once for all processes of pytest-xdist.

    All of them read it, so that nobody may change it.
    """
    base = factory.getbasetemp()
    # Each process of pytest-xdist has its own folder in that of the session.
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    done = place.with_suffix(".done")
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            build(place)
            done.touch()
    return place


def out_of(stage: str) -> str:
    """Return the folder that a stage of the pipeline writes."""
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    out = pipeline["stages"][stage]["outs"][0]
    return out if isinstance(out, str) else str(next(iter(out)))


def commit(project: Path, message: str) -> None:
    """Commit all that is changed in a project."""
    succeed("git", "add", "-A", cwd=project)
    succeed("git", "commit", "-qm", message, cwd=project)


def manifest_of(size: int, splits: Mapping[str, Any], *, crop: int | None = None) -> dict[str, Any]:
    """Return the manifest of shards of synthetic faces, (n, size, size, 3), as `prepare` leaves."""
    return {
        "source": {"source": TRAINED_ON.source},
        "image_shape": [size, size, 3],
        "crop": crop,
        "filter": "area" if crop else "box",
        "splits": dict(splits),
    }


def untrained(vae: Any, *, crop: int | None = None) -> Pretrained:
    """Return a model that no stage trained, with its Keras model."""
    return Pretrained(
        size=int(vae.decoder.output_shape[1]),
        crop=crop,
        filter="area",
        z_dim=int(vae.decoder.input_shape[1]),
        trained_on=TRAINED_ON,
        vae=vae,
    )


def write_shards(folder: Path, splits: Mapping[str, np.ndarray]) -> None:
    """Write one shard for each split, with manifest and index, as `prepare` leaves them.

    Args:
        folder: where to write.
        splits: uint8 images (n, size, size, 3) by the name of the split.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {}
    index = ["split,shard,row,file_name"]
    for name, images in splits.items():
        file = f"{name}-00000-of-00001.npy"
        np.save(folder / file, images)
        shard = {"file": file, "images": len(images), "sha256": sha256_of(folder / file)}
        described[name] = {"images": len(images), "shards": [shard]}
        index += [f"{name},{file},{row},{name}{row}.jpg" for row in range(len(images))]
    manifest = manifest_of(images.shape[1], described, crop=148)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "images.csv").write_text("\n".join(index) + "\n")


def train_into(
    folder: Path, metrics: Path, shards: Path, params: Params, code: Mapping[str, str]
) -> None:
    """Train in this process on shards, and write what the stage `train` writes.

    Args:
        folder: where the model and its history are written.
        metrics: the JSON file of metrics.
        shards: the folder of shards.
        params: model, train, threads and run.
        code: the sums of the source files that the fingerprint is made of.
    """
    from celeba_vae.training.data import open_training_data
    from celeba_vae.training.run import train_model

    data = open_training_data(shards)
    machine = {"threads": params.threads, "instructions": "avx2"}
    vae, result = train_model(
        data,
        scratch_folder("train"),
        model=params.model,
        train=params.train,
        machine=machine,
        run=params.run,
        code=code,
    )
    save(
        vae,
        params.model,
        manifest=data.manifest,
        sha256=data.sha256,
        machine=machine,
        folder=folder,
    )
    write_result(result, folder, metrics)


def save_model(vae: Any, params: ModelParams, folder: Path, *, crop: int | None = None) -> None:
    """Write a model as the stage `train` does, as if it had learned from synthetic faces."""
    size = int(vae.decoder.output_shape[1])
    manifest = manifest_of(size, {"train": {"images": TRAINED_ON.images}}, crop=crop)
    machine = {"threads": 2, "instructions": "avx2"}
    save(vae, params, manifest=manifest, sha256=TRAINED_ON.manifest, machine=machine, folder=folder)


def wait_for_end(process: int, seconds: float = 60) -> None:
    """Wait until a process that is not a child of this one is gone, or dead and uncollected.

    A killed process closes its files some time before it is gone.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} still runs after {seconds} s")


def children(parent: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in found]


def slow_square(number: int) -> int:
    """A task of which the later ones may be done first."""
    time.sleep(0.02 * (number % 3))
    return number * number


def fail_at_three(number: int) -> int:
    """A task that fails for one number."""
    if number == 3:
        raise ValueError("three")
    return number
