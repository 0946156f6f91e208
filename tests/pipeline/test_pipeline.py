"""The whole pipeline with tiny parameters, run by DVC as users run it."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from celeba_vae.runtime.files import sha256_of
from celeba_vae.shards.read import file_names
from celeba_vae.verify.consistency import imported_code
from celeba_vae.verify.tiny_params import set_params
from tests.support import ROOT, children, commit, make_project, run, succeed, wait_for_end

STAGES = ("download", "prepare", "train", "zpoints", "generate", "attributes", "evaluate", "report")
COMPUTING = {"train", "zpoints", "generate", "attributes", "evaluate"}
LATER = COMPUTING | {"report"}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project, reproduced and committed."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    succeed("dvc", "repro", cwd=folder)
    commit(folder, "reproduced")
    return folder


@pytest.fixture
def restored(project: Path) -> Iterator[Path]:
    """The tiny project, put back into its committed state afterwards."""
    yield project
    succeed("git", "reset", "-q", "--hard", "main", cwd=project)
    succeed("git", "clean", "-fdq", cwd=project)
    succeed("dvc", "checkout", "--force", cwd=project)


def ran(output: str) -> set[str]:
    """The stages that DVC says it ran."""
    marked = [line for line in output.splitlines() if line.startswith("Running stage")]
    return {line.split("'")[1] for line in marked}


def model_size(folder: Path) -> int:
    return int(json.loads((folder / "data/model/architecture.json").read_text())["size"])


def metrics(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"data/metrics/{name}.json").read_text()))


def test_every_stage_leaves_what_it_promises(project: Path) -> None:
    for name in (
        "raw/img_align_celeba.zip",
        "raw/factors.csv",
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
        assert (project / "data" / name).stat().st_size > 0, name
    assert metrics(project, "train")["training_images"] == 38
    assert metrics(project, "zpoints")["train"]["images"] == 38
    assert metrics(project, "generate")["images"] == 5
    assert metrics(project, "evaluate")["reconstruction"]["images"] == 5


def test_z_points_belong_to_the_images_of_the_index(project: Path) -> None:
    import celeba_vae

    model = celeba_vae.load(project / "data/model")
    names = file_names(project / "data/shards", "validation")
    shard = np.load(project / "data/shards/validation-00000-of-00001.npy")
    assert len(names) == len(shard) == 5
    mu, log_var = model.encode(shard)
    assert log_var is not None
    folder = project / "data/zpoints"
    rows = list(csv.DictReader((folder / "rows.csv").read_text().splitlines()))
    assert [row["file_name"] for row in rows if row["split"] == "validation"] == names
    assert [row["row"] for row in rows if row["split"] == "validation"] == list("01234")
    assert np.allclose(np.load(folder / "validation_mu.npy"), mu, atol=1e-5)
    assert np.allclose(np.load(folder / "validation_log_var.npy"), log_var, atol=1e-5)
    z = np.load(folder / "validation_z.npy")
    noise = (z - mu) / np.exp(log_var / 2)
    assert 0.5 < noise.std() < 1.6


def test_runs_are_compared_out_of_the_cache(project: Path, tmp_path: Path) -> None:
    pictures = [tmp_path / "one.png", tmp_path / "two.png"]
    for picture, runs in zip(pictures, (["workspace"], ["HEAD", "workspace"]), strict=True):
        succeed(
            "celeba-vae", "compare", *runs, "--columns", "2", "--out", str(picture), cwd=project
        )
    one, two = (np.asarray(Image.open(picture)) for picture in pictures)
    # The same run twice, under two names: below each other the same faces.
    assert len(two) == 2 * len(one) + 2
    faces = slice(-2 * model_size(project), None)
    assert np.array_equal(two[: len(one), faces], one[:, faces])
    assert np.array_equal(two[len(one) + 2 :, faces], one[:, faces])
    for runs, reason in (
        (["no-such-run"], "unknown Git revision"),
        (["HEAD~1"], "is not in DVC's cache"),
    ):
        done = run("celeba-vae", "compare", *runs, "--out", str(tmp_path / "none.png"), cwd=project)
        assert done.returncode == 1
        assert reason in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (tmp_path / "none.png").exists()


def test_grids_show_their_arrays(project: Path) -> None:
    for name, rows, columns in (
        ("random_normal", 2, 3),
        ("reconstructions", 2, 3),
        ("walks", 2, 3),
    ):
        faces = np.load(project / f"data/samples/{name}.npy")
        grid = np.asarray(Image.open(project / f"data/samples/{name}.png"))
        assert faces.shape == (rows * columns, 32, 32, 3)
        assert grid.shape == (rows * 34 - 2, columns * 34 - 2, 3)
        assert np.array_equal(grid[34:66, 68:100], faces[5])


def test_plots_show_every_picture_and_curve(project: Path) -> None:
    output = succeed("dvc", "plots", "show", cwd=project)
    assert "failed" not in output
    page = (project / "dvc_plots/index.html").read_text()
    pictures = sorted((project / "data/samples").glob("*.png"))
    pictures += sorted((project / "data/zpoints/plots").glob("*.png"))
    pictures += sorted((project / "data/evaluation/plots").glob("*.png"))
    # One of each sampler: normal, and the best unless it is normal.
    compared = metrics(project, "evaluate")["samples"]
    samplers = [name for name in compared if f"nearest_{name}.png" in {p.name for p in pictures}]
    assert len(pictures) == 21 + len(samplers)
    pictures += sorted((project / "data/attributes/plots").glob("*.png"))
    assert {"auc.png", "factors.png"} <= {picture.name for picture in pictures}
    assert "normal" in samplers
    for picture in pictures:
        assert f"_{picture.name}" in page
    for title in ("Loss (nats", "Reconstruction loss (nats", "KL loss (nats", "Distance of the z"):
        assert title in page
    assert succeed("git", "status", "--porcelain", cwd=project) == ""


def test_the_report_shows_the_run_and_names_no_place(project: Path) -> None:
    page = (project / "data/report/report.html").read_text()
    pictures = [*project.glob("data/samples/*.png"), *project.glob("data/*/plots/*.png")]
    # The Gaussian's faces are in the overview; two plots of the training are drawn here, and one
    # picture is in every report.
    assert page.count("<img ") == len(pictures) - 1 + 2 + 1
    for code in ("stages/report.py", "src/celeba_vae/training/fit.py"):
        assert sha256_of(project / code) in page
    assert "train.batch_size" in page
    assert sha256_of(project / "data/model/vae.weights.h5") in page
    assert str(project) not in page


def test_nothing_to_do_is_said_and_done(project: Path) -> None:
    output = succeed("dvc", "repro", cwd=project)
    assert "Data and pipelines are up to date" in output
    assert ran(output) == set()


def test_the_same_bytes_again_and_elsewhere(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lock = (project / "dvc.lock").read_bytes()
    elsewhere = make_project(tmp_path_factory.mktemp("elsewhere") / "deeper")
    succeed("dvc", "repro", cwd=elsewhere)
    assert (elsewhere / "dvc.lock").read_bytes() == lock
    # Again, on one processor: pools of threads and workers must not follow their number.
    pinned = "import os; os.sched_setaffinity(0, {0}); os.execvp('dvc', ['dvc', 'repro', '-f'])"
    assert ran(succeed(sys.executable, "-c", pinned, cwd=project)) == set(STAGES)
    assert (project / "dvc.lock").read_bytes() == lock
    assert succeed("git", "status", "--porcelain", cwd=project) == ""


def test_a_change_runs_only_what_depends_on_it(restored: Path) -> None:
    output = succeed("dvc", "exp", "run", "-S", "model.inter_dense=4", cwd=restored)
    assert ran(output) == LATER
    counts = metrics(restored, "train")["encoder_parameters"]
    # Flatten has 8 * 8 * 8 units: 512 * 4 + 4 and twice 4 * 6 + 6, for twice 512 * 6 + 6.
    direct = json.loads(succeed("git", "show", "main:data/metrics/train.json", cwd=restored))
    assert direct["encoder_parameters"] - counts == 2 * (512 * 6 + 6) - (512 * 4 + 4 + 2 * 30)

    table = succeed("dvc", "exp", "show", "--csv", cwd=restored)
    shown = list(csv.DictReader(table.splitlines()))
    assert {row["encoder_parameters"] for row in shown} == {str(counts), str(counts + 4044)}
    assert all(float(row["val_loss"]) > 0 for row in shown)

    succeed("git", "checkout", "-q", "--", "params.yaml", cwd=restored)
    # The rest, without the layer, comes from DVC's run cache.
    output = succeed("dvc", "exp", "run", "-S", "generate.seed=5", cwd=restored)
    assert ran(output) == {"generate", "report"}
    output = succeed(
        "dvc", "exp", "run", "-S", "run.workers=1", "-S", "generate.seed=1", cwd=restored
    )
    assert ran(output) == set()


@pytest.mark.slow
def test_an_experiment_elsewhere_runs_the_code_it_was_queued_with(restored: Path) -> None:
    marker = 'print(f"A grid of faces after every epoch'
    source = restored / "src/celeba_vae/training/run.py"
    original = source.read_text()
    assert marker in original
    source.write_text(original.replace(marker, f'print("QUEUED CODE"); {marker}'))
    succeed("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "train.seed=7", cwd=restored)
    source.write_text(original.replace(marker, f'print("LATER CODE"); {marker}'))
    # DVC's queue can hang; a hard limit turns that into a failure.
    run("dvc", "queue", "start", cwd=restored, timeout=150)
    for _ in range(90):
        status = succeed("dvc", "queue", "status", cwd=restored, timeout=150)
        if "Success" in status or "Failed" in status:
            break
        subprocess.run(["sleep", "1"], check=True)
    run("dvc", "queue", "stop", cwd=restored, timeout=150)
    logs = run("dvc", "queue", "logs", "queued", cwd=restored, timeout=60).stdout
    assert "Success" in status, status + logs
    assert "QUEUED CODE" in logs
    assert "LATER CODE" not in logs
    assert "queued" in succeed("dvc", "exp", "list", cwd=restored)


@pytest.mark.slow
def test_a_temporary_experiment_runs_in_its_own_copy(restored: Path) -> None:
    before = (restored / "data/metrics/train.json").read_bytes()
    output = succeed(
        "dvc", "exp", "run", "--temp", "-n", "aside", "-S", "model.inter_dense=5", cwd=restored
    )
    assert ran(output) == LATER
    assert (restored / "data/metrics/train.json").read_bytes() == before
    assert "aside" in succeed("dvc", "exp", "list", cwd=restored)


def test_own_images_and_the_warning_when_they_change(restored: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(60):
        pixels = generator.integers(0, 256, (50, 40, 3), dtype=np.uint8)
        folder = tmp_path / f"album {index % 3}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    # PyYAML and DVC must read the path alike.
    set_params(restored, "download.source=local", f"download.path='{tmp_path}'")
    output = succeed("dvc", "repro", "prepare", cwd=restored)
    assert ran(output) == {"download", "prepare"}
    assert "warning" not in output
    names = [
        name
        for split in ("train", "validation", "test")
        for name in file_names(restored / "data/shards", split)
    ]
    assert len(names) == 60
    assert "album 2/5.png" in names

    (tmp_path / "album 0/0.png").unlink()
    assert ran(succeed("dvc", "repro", "prepare", cwd=restored)) == set()
    output = succeed("dvc", "repro", "--force", "--single-item", "prepare", cwd=restored)
    assert "has changed since it was imported" in output
    assert "dvc repro --force download" in output


def modules_of(stage: str, project: Path) -> set[str]:
    """The project's modules that a stage has imported at its end, as paths."""
    code = f"""
import atexit, json, pathlib, runpy, sys
def report():
    root = pathlib.Path.cwd()
    files = [getattr(m, "__file__", None) for m in list(sys.modules.values())]
    own = {{str(pathlib.Path(f).resolve().relative_to(root)) for f in files
           if f and pathlib.Path(f).resolve().is_relative_to(root)}}
    pathlib.Path("modules.json").write_text(json.dumps(sorted(own)))
    noisy = sorted(m for m in ("tensorflow", "keras") if m in sys.modules)
    pathlib.Path("libraries.json").write_text(json.dumps(noisy))
atexit.register(report)
runpy.run_module("stages.{stage}", run_name="__main__", alter_sys=True)
"""
    done = run(sys.executable, "-c", code, cwd=project, env={"PYTHONPATH": "src:."})
    assert done.returncode == 0, done.stderr
    return set(json.loads((project / "modules.json").read_text()))


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_imports_is_what_its_source_says(restored: Path, stage: str) -> None:
    # The gate compares dvc.yaml with the source, in seconds; this shows that it reads it rightly.
    imported = modules_of(stage, restored) | {f"stages/{stage}.py"}
    # params.py holds no values. Empty files cannot matter.
    needed = {name for name in imported if (restored / name).stat().st_size > 0}
    # Dependencies as well, but not loaded here: the steps on JAX, and a kernel of the steps of
    # training, of which none is left to do.
    elsewhere = {
        "src/celeba_vae/training/jax_steps.py",
        "src/celeba_vae/model/tensorflow_kernels.py",
    }
    source = imported_code(restored, f"stages/{stage}.py")
    assert needed - {"src/celeba_vae/params.py"} == source - elsewhere
    libraries = json.loads((restored / "libraries.json").read_text())
    assert libraries == (["keras", "tensorflow"] if stage in COMPUTING else [])


def test_a_stage_refuses_the_code_of_another_checkout(restored: Path) -> None:
    done = run(
        sys.executable, "-m", "stages.prepare", cwd=restored, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "not from this checkout's" in done.stderr


def test_a_wrong_parameter_gets_one_line_and_checkout_brings_all_back(restored: Path) -> None:
    done = run("dvc", "exp", "run", "-S", "train.epochs=none", cwd=restored)
    assert done.returncode != 0
    assert "params.yaml: train.epochs = 'none': input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr
    # DVC removes a stage's outs before it runs it; they are in its cache, and its run cache.
    succeed("git", "checkout", "-q", "--", "params.yaml", cwd=restored)
    succeed("dvc", "repro", cwd=restored)
    assert succeed("git", "status", "--porcelain", cwd=restored) == ""


# What each stage writes goes through the same functions, so that three stand for all.
QUICKLY = ("prepare", "train", "report")
ALL_STAGES = [
    stage if stage in QUICKLY else pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES
]


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_full_disk_and_a_place_that_is_no_folder_get_one_line(restored: Path, stage: str) -> None:
    # No file may grow beyond 2 KB: for a program the same as a disk that is full.
    limited = f"ulimit -f 2; PYTHONPATH=src exec {sys.executable} -m stages.{stage}"
    out = next(iter(PIPELINE["stages"][stage]["outs"][0]))
    for command in (limited, f"PYTHONPATH=src exec {sys.executable} -m stages.{stage}"):
        succeed("rm", "-rf", out, cwd=restored)
        if command is not limited:
            (restored / out).write_text("a file where the folder should be")
        done = run("bash", "-c", command, cwd=restored)
        errors = [line for line in done.stderr.splitlines() if "error: " in line]
        assert done.returncode == 1, done.stderr[-3000:]
        assert len(errors) == 1
        assert "Traceback" not in done.stderr
        assert not list((restored / "data").rglob(".part*"))


def test_a_stage_dies_with_the_dvc_that_started_it(restored: Path) -> None:
    set_params(restored, "train.epochs=9999")
    # Where SHELL is not set, as in many CI systems, DVC takes /bin/sh, and not every sh replaces
    # itself by the last command it runs.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.pop("SHELL", None)
    with subprocess.Popen(
        ["dvc", "repro", "train"],
        cwd=restored,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as dvc:
        assert dvc.stderr is not None
        for line in dvc.stderr:
            if "train:" in line:
                break
        (stage,) = children(dvc.pid)
        dvc.kill()
        dvc.stderr.read()  # ends when the stage, which holds the other end, has ended
    wait_for_end(stage)
    succeed("git", "checkout", "-q", "--", "params.yaml", cwd=restored)
    # The first retry may find the lock of the dead process, and says so.
    run("dvc", "repro", cwd=restored)
    assert ran(succeed("dvc", "repro", cwd=restored)) == set()
    assert succeed("git", "status", "--porcelain", cwd=restored) == ""


def test_a_stage_that_is_terminated_says_so_by_its_status(restored: Path) -> None:
    command = f"PYTHONPATH=src exec {sys.executable} -m stages.train"
    with subprocess.Popen(
        ["bash", "-c", command], cwd=restored, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "train:" in line:
                break
        process.terminate()
        process.stderr.read()
        assert process.wait(timeout=60) == 143
