"""What a whole run left, and what its stages imported, in the tiny project of the session."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import celeba_vae
from celeba_vae.runtime.files import sha256_of
from celeba_vae.shards.read import file_names
from celeba_vae.verify.consistency import imported_code
from tests.pipeline.test_pipeline import STAGES, metrics

COMPUTING = {"train", "zpoints", "generate", "attributes", "evaluate"}


def test_every_stage_leaves_what_it_promises(reproduced: Path) -> None:
    for name in (
        "imported/img_align_celeba.zip",
        "imported/factors.csv",
        "shards/manifest.json",
        "shards/images.csv",
        "model/vae.weights.h5",
        "model/history.tsv",
        "zpoints/train_z.npy",
        "zpoints/samplers.npz",
        "zpoints/zpoints.json",
        "zpoints/zpoints.csv",
        "zpoints/plots/radius.png",
        "samples/random_normal.png",
        "samples/random_chosen.png",
        "samples/walks.npy",
        "samples/overview.png",
        "attributes/attributes.tsv",
        "attributes/directions.npz",
        "attributes/factors.tsv",
        "attributes/plots/auc.png",
        "attributes/plots/factors.png",
        "attributes/plots/push_Male.png",
        "metrics/attributes.json",
        "metrics/train.json",
        "metrics/zpoints.json",
        "metrics/generate.json",
        "evaluation/reconstructions.csv",
        "evaluation/bounds.tsv",
        "evaluation/samples.tsv",
        "metrics/evaluate.json",
        "report/report.html",
    ):
        assert (reproduced / "data" / name).stat().st_size > 0, name
    assert metrics(reproduced, "train")["training_images"] == 38
    assert metrics(reproduced, "zpoints")["train"]["images"] == 38
    assert metrics(reproduced, "generate")["images"] == 5
    assert metrics(reproduced, "evaluate")["reconstruction"]["images"] == 5


def test_z_points_belong_to_the_images_of_the_index(reproduced: Path) -> None:
    model = celeba_vae.load(reproduced / "data/model")
    names = file_names(reproduced / "data/shards", "validation")
    shard = np.load(reproduced / "data/shards/validation-00000-of-00001.npy")
    assert len(names) == len(shard) == 5
    mu, log_var = model.encode(shard)
    assert log_var is not None
    folder = reproduced / "data/zpoints"
    rows = list(csv.DictReader((folder / "rows.csv").read_text().splitlines()))
    assert [row["file_name"] for row in rows if row["split"] == "validation"] == names
    assert [row["row"] for row in rows if row["split"] == "validation"] == list("01234")
    assert np.allclose(np.load(folder / "validation_mu.npy"), mu, atol=1e-5)
    assert np.allclose(np.load(folder / "validation_log_var.npy"), log_var, atol=1e-5)
    z = np.load(folder / "validation_z.npy")
    noise = (z - mu) / np.exp(log_var / 2)
    assert 0.5 < noise.std() < 1.6


def test_grids_show_their_arrays(reproduced: Path) -> None:
    for name, rows, columns in (
        ("random_normal", 2, 3),
        ("reconstructions", 2, 3),
        ("walks", 2, 3),
    ):
        faces = np.load(reproduced / f"data/samples/{name}.npy")
        grid = np.asarray(Image.open(reproduced / f"data/samples/{name}.png"))
        assert faces.shape == (rows * columns, 32, 32, 3)
        assert grid.shape == (rows * 34 - 2, columns * 34 - 2, 3)
        assert np.array_equal(grid[34:66, 68:100], faces[5])


def test_the_report_shows_the_run_and_names_no_place(reproduced: Path) -> None:
    page = (reproduced / "data/report/report.html").read_text()
    pictures = [*reproduced.glob("data/samples/*.png"), *reproduced.glob("data/*/plots/*.png")]
    # The Gaussian's faces are in the overview; two plots of the training are drawn here.
    assert page.count("<figcaption>") == len(pictures) - 1 + 2
    name = re.findall("<h1>Run (.{8}) of", page)[0]
    assert f"md5: {name}" in (reproduced / "dvc.lock").read_text()
    for code in ("stages/report.py", "src/celeba_vae/training/fit.py"):
        assert sha256_of(reproduced / code) in page
    assert "train.batch_size" in page
    assert sha256_of(reproduced / "data/model/vae.weights.h5") in page
    assert str(reproduced) not in page


def modules_of(reproduced: Path, stage: str) -> set[str]:
    """The names of all modules that the processes of a stage imported."""
    said = re.split(r"Running stage '(\w+)':", reproduced.with_suffix(".log").read_text())
    of_stage = dict(zip(said[1::2], said[2::2], strict=True))[stage]
    return set(re.findall(r"import time: +\d+ \| +\d+ \| +([\w.]+)", of_stage))


# For its checks params.py, which makes no values, imports a module: of every stage.
CHECKS = {"src/celeba_vae/params.py", "src/celeba_vae/faces/layout.py"}
# Dependencies, but not of every run: the steps on JAX, and a kernel of the steps of training.
SOMETIMES = {
    "src/celeba_vae/training/jax_steps.py",
    "src/celeba_vae/model/tensorflow_kernels.py",
}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_imports_is_what_its_source_says(reproduced: Path, stage: str) -> None:
    # The gate compares dvc.yaml with the source, in seconds; this shows that it reads it rightly.
    modules = modules_of(reproduced, stage)
    files = {f"{top}{name.replace('.', '/')}.py" for name in modules for top in ("", "src/")}
    own = {name for name in files if name.startswith(("stages/", "src/celeba_vae/"))}
    imported = {f"stages/{stage}.py", *(name for name in own if (reproduced / name).exists())}
    source = imported_code(reproduced, f"stages/{stage}.py")
    assert imported - source <= CHECKS
    assert source - imported <= SOMETIMES
    libraries = {module.partition(".")[0] for module in modules} & {"tensorflow", "keras"}
    assert libraries == ({"keras", "tensorflow"} if stage in COMPUTING else set())


def test_the_bytes_are_those_of_every_other_machine(reproduced: Path) -> None:
    # What the report holds, hashes of all code, changes with every change.
    outs = {
        out["path"]: out["md5"]
        for stage in yaml.safe_load((reproduced / "dvc.lock").read_text())["stages"].values()
        for out in stage["outs"]
        if out["path"] not in ("data/report", "data/metrics.json")
    }
    recorded = json.loads(Path(__file__).with_name("tiny_run.json").read_text())
    # Where a change is meant to change bytes, this is the file's new content.
    assert outs == recorded, json.dumps(outs, indent=2)
