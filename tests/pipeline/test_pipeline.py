"""DVC runs the pipeline with tiny parameters, and experiments in it, as users run them."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from celeba_vae.cli.program import cli
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import file_names
from celeba_vae.verify.tiny_params import set_params
from tests.support import commit, make_project, out_of, run, succeed

STAGES = ("download", "prepare", "train", "zpoints", "generate", "attributes", "evaluate", "report")
LATER = set(STAGES[2:])


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny project, reproduced and committed."""
    folder = tmp_path_factory.mktemp("project") / "copy"
    return shutil.copytree(reproduced, folder, symlinks=True)


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


def test_runs_are_compared_out_of_the_cache(
    restored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(restored)

    def compare(*runs: str, out: Path) -> Result:
        return CliRunner().invoke(
            cli, ["compare", *runs, "--columns", "2", "--scale", "1", "--out", str(out)]
        )

    pictures = [tmp_path / "one.png", tmp_path / "two.png"]
    for picture, runs in zip(pictures, (["workspace"], ["HEAD", "workspace"]), strict=True):
        done = compare(*runs, out=picture)
        assert done.exit_code == 0, done.output
    one, two = (np.asarray(Image.open(picture)) for picture in pictures)
    # The same run twice, under two names: below each other the same faces.
    assert len(two) == 2 * len(one) + 2
    faces = slice(-2 * model_size(restored), None)
    assert np.array_equal(two[: len(one), faces], one[:, faces])
    assert np.array_equal(two[len(one) + 2 :, faces], one[:, faces])
    for runs, reason in (
        (["no-such-run"], "unknown Git revision"),
        (["HEAD~1"], "HEAD~1: its dvc.lock is not among its files"),
    ):
        done = compare(*runs, out=tmp_path / "none.png")
        assert isinstance(done.exception, UserError)
        assert reason in str(done.exception)
        assert "\n" not in str(done.exception)
        assert done.output == ""
        assert not (tmp_path / "none.png").exists()
    # What git holds is compared even where the cache lacks the model for the picture.
    lock = restored / "dvc.lock"
    known = yaml.safe_load(lock.read_text())["stages"]["train"]["outs"]
    model = next(out["md5"] for out in known if out["path"] == "data/model")
    lock.write_text(lock.read_text().replace(model, "0" * 32 + ".dir"))
    succeed("git", "checkout", "-qb", "elsewhere", cwd=restored)
    commit(restored, "another machine's model")
    succeed("git", "checkout", "-q", "main", cwd=restored)
    done = compare("main", "elsewhere", out=tmp_path / "none.png")
    assert "elsewhere: its data/model is not in DVC's cache" in str(done.exception)
    assert "No parameter differs, nor do code and images." in done.output
    assert "psnr" in done.output
    assert not (tmp_path / "none.png").exists()


def test_plots_show_the_curves_and_the_pictures_of_faces_and_z_points(project: Path) -> None:
    output = succeed("dvc", "plots", "show", cwd=project)
    assert "failed" not in output
    page = (project / "dvc_plots/index.html").read_text()
    pictures = sorted((project / "data/samples").glob("*.png"))
    pictures += sorted((project / "data/zpoints/plots").glob("*.png"))
    assert len(pictures) == 20
    for picture in pictures:
        assert f"_{picture.name}" in page
    for title in ("Loss (nats", "Reconstruction loss (nats", "KL loss (nats", "Distance of the z"):
        assert title in page
    assert succeed("git", "status", "--porcelain", cwd=project) == ""


def test_nothing_to_do_is_said_and_done(project: Path) -> None:
    output = succeed("dvc", "repro", cwd=project)
    assert "Data and pipelines are up to date" in output
    assert ran(output) == set()


# Pools of threads and workers must not follow the number of processors.
ON_ONE_PROCESSOR = (
    "import os; os.sched_setaffinity(0, {0}); os.execvp('dvc', ['dvc', 'repro', '-f'])"
)


@pytest.mark.slow  # `make verify-quick` does the same
def test_the_same_bytes_elsewhere_on_one_processor_with_one_worker(
    project: Path, tmp_path: Path
) -> None:
    elsewhere = make_project(tmp_path / "deeper")
    set_params(elsewhere, "run.workers=1")
    assert ran(succeed(sys.executable, "-c", ON_ONE_PROCESSOR, cwd=elsewhere)) == set(STAGES)
    assert (elsewhere / "dvc.lock").read_bytes() == (project / "dvc.lock").read_bytes()


@pytest.mark.slow
def test_the_same_bytes_again_in_the_same_place(project: Path) -> None:
    lock = (project / "dvc.lock").read_bytes()
    assert ran(succeed("dvc", "repro", "-f", cwd=project)) == set(STAGES)
    assert (project / "dvc.lock").read_bytes() == lock
    assert succeed("git", "status", "--porcelain", cwd=project) == ""


def test_a_change_runs_only_what_depends_on_it(restored: Path) -> None:
    output = succeed("dvc", "exp", "run", "-S", "model.inter_dense=4", "train", cwd=restored)
    assert ran(output) == {"train"}
    # Of the rest it is enough to know that it would run.
    assert ran(succeed("dvc", "repro", "--dry", cwd=restored)) == LATER - {"train"}
    counts = metrics(restored, "train")["encoder_parameters"]
    # Flatten has 8 * 8 * 8 units: 512 * 4 + 4 and twice 4 * 6 + 6, for twice 512 * 6 + 6.
    direct = json.loads(succeed("git", "show", "main:data/metrics/train.json", cwd=restored))
    assert direct["encoder_parameters"] - counts == 2 * (512 * 6 + 6) - (512 * 4 + 4 + 2 * 30)

    table = succeed("dvc", "exp", "show", "--csv", cwd=restored)
    shown = list(csv.DictReader(table.splitlines()))
    # The figures of an experiment whose report is not made yet are those of before.
    assert {row["encoder"] for row in shown} == {str(counts + 4044)}
    assert {row["model.inter_dense"] for row in shown} == {"", "4"}

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


STARTS = (
    ("repro", "download"),
    pytest.param(("repro", "--force", "download"), marks=pytest.mark.slow),
    pytest.param(("exp", "run", "download"), marks=pytest.mark.slow),
    pytest.param(("exp", "run", "--temp", "download"), marks=pytest.mark.slow),
)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    ("photos", "given", "reason"),
    [
        ("data/raw/photos", "data/raw", None),
        ("data/raw/photos", "data/raw/photos", None),
        ("data/raw/photos", "link", None),
        # Above what stages write, and so refused; the photos stay all the same.
        ("data/photos", "data", "holds"),
        # Where a later stage writes: the first one refuses it before DVC comes that far.
        ("data/shards/photos", "data/shards/photos", "lies in"),
    ],
)
def test_own_images_in_the_project_are_all_there_afterwards(
    restored: Path, photos: str, given: str, reason: str | None, start: tuple[str, ...]
) -> None:
    if photos.startswith("data/shards") and start[:2] == ("exp", "run") and "--temp" not in start:
        pytest.skip("DVC puts its folders back before an experiment; nothing of ours runs yet")
    folder = restored / photos
    folder.mkdir(parents=True)
    for index in range(60):
        Image.new("RGB", (20, 20), (index, 100, 200)).save(folder / f"{index}.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (restored / "link").symlink_to(folder)
    try:
        set_params(restored, "download.source=local", f"download.path='{restored / given}'")
        done = run("dvc", *start, cwd=restored)
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        if reason is None:
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode != 0
            (line,) = errors
            assert f"download.path: {restored / given} {reason} " in line
        if photos.startswith("data/raw"):  # Nor does git take them for a part of the project.
            assert "photos" not in succeed("git", "status", "--porcelain", "-uall", cwd=restored)
    finally:
        (restored / "link").unlink()
        shutil.rmtree(folder)


def test_a_wrong_parameter_gets_one_line_and_checkout_brings_all_back(restored: Path) -> None:
    done = run("dvc", "exp", "run", "-S", "train.epochs=none", cwd=restored)
    assert done.returncode != 0
    assert "params.yaml: train.epochs = 'none': input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr
    # DVC removes a stage's outs before it runs it; they are in its cache, and its run cache.
    succeed("git", "checkout", "-q", "--", "params.yaml", cwd=restored)
    succeed("dvc", "repro", cwd=restored)
    assert succeed("git", "status", "--porcelain", cwd=restored) == ""


# What each stage writes goes through the same functions, so that two stand for all.
QUICKLY = ("prepare", "report")
ALL_STAGES = [
    stage if stage in QUICKLY else pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES
]


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_full_disk_and_a_place_that_is_no_folder_get_one_line(restored: Path, stage: str) -> None:
    # No file may grow beyond 2 KB: for a program the same as a disk that is full.
    limited = f"ulimit -f 2; PYTHONPATH=src exec {sys.executable} -m stages.{stage}"
    out = out_of(stage)
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
