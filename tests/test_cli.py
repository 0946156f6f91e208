import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from celeba_vae.cli.options import Real
from celeba_vae.cli.program import cli, main
from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.directions import DIRECTIONS_FILE, direction_arrays
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.latent.samplers import SAMPLERS_FILE, sampler_arrays
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams
from celeba_vae.runtime.files import write_arrays
from tests.support import ROOT, own_environment, run, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained model, a fitted Gaussian and two photos."""
    folder = tmp_path_factory.mktemp("cli")
    params = ModelParams(
        filters=[4, 8],
        strides=[2, 2],
        kernel=3,
        z_dim=6,
        inter_dense=None,
        inter_activation="relu",
        activation="relu",
        batch_norm=True,
        batch_norm_momentum=0.9,
        blocks="plain",
        variational=True,
        log_var_bound=None,
    )
    vae = VAE(params, size=32, seed=1)
    save_model(vae, params, folder / "data/model", crop=148)
    (folder / "data/zpoints").mkdir()
    clouds = 1 + 2 * np.random.default_rng(0).normal(size=(3, 50, 6))
    splits = dict(zip(("train", "validation", "test"), map(Cloud, clouds), strict=True))
    fitted, _ = fit_samplers(splits, seed=1)
    write_arrays(folder / "data/zpoints" / SAMPLERS_FILE, sampler_arrays(fitted))
    steps = {"Smiling": np.arange(6.0), "Male": np.ones(6)}
    write_arrays(folder / "data/attributes" / DIRECTIONS_FILE, direction_arrays(steps, z_dim=6))
    os.mkfifo(folder / "pipe.jpg")
    for name, colour in (("a.jpg", "red"), ("b.png", "blue")):
        Image.new("RGB", (178, 218), colour).save(folder / name)
    (folder / "hard.png").hardlink_to(folder / "b.png")
    return folder


Command = Callable[..., str]


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run the command line in this process; what it prints, or its error, comes back."""
    monkeypatch.chdir(folder)

    def call(*words: str, status: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["celeba-vae", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        # Python prints a text that a program is ended with, and its status is then 1.
        error = f"{ended.value.code}\n" if isinstance(ended.value.code, str) else ""
        assert (1 if error else ended.value.code) == status, said
        assert said.err == ""
        if status:
            assert said.out == ""
        return error if status else said.out

    return call


def run_process(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "celeba_vae.cli", *words]
    return run(*command, cwd=folder, env={"PYTHONPATH": str(ROOT / "src")})


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_help_names_every_command_and_needs_no_tensorflow(command: Command, folder: Path) -> None:
    text = command("--help")
    for name in ("parameters", "sample", "reconstruct", "morph", "edit", "verify", "summary"):
        assert name in text
        assert "--help" in command(name, "--help")
    code = (
        "import sys, celeba_vae.cli.program as c\n"
        "try: c.main()\n"
        "finally: assert not {'tensorflow', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    assert run(sys.executable, "-c", code, "--help", cwd=folder).returncode == 0


def test_sample(command: Command, folder: Path) -> None:
    words = ("sample", "--rows", "2", "--columns", "3")
    said = command(*words, "--out", "best.png")
    assert said.startswith("wrote best.png\ndrawn from ")
    name, temperature = said.rstrip().rpartition("drawn from ")[2].split(", temperature ")
    assert size_of(folder / "best.png") == (3 * 34 - 2, 2 * 34 - 2)
    # What is left open is what did best on validation; here in a process of its own.
    options = ("--out", "same.png", "--sampler", name, "--temperature", temperature)
    done = run_process(*words, *options, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == said.replace("best.png", "same.png")
    assert (folder / "same.png").read_bytes() == (folder / "best.png").read_bytes()
    said = command(*words, "--out", "c.png", "--sampler", "normal", "--temperature", "1")
    assert said == "wrote c.png\ndrawn from normal, temperature 1\n"
    command(*words, "--out", "d.png", "--sampler", "normal", "--temperature", "0.5")
    command(*words, "--out", "e.png", "--sampler", "ellipse", "--seed", "2")
    assert len({(folder / f"{name}.png").read_bytes() for name in ("best", *"cde")}) == 4


def test_reconstruct_shows_photos_above_reconstructions(command: Command, folder: Path) -> None:
    command("reconstruct", "a.jpg", "b.png", "--out", "r.png")
    with Image.open(folder / "r.png") as image:
        grid = np.asarray(image)
    assert grid.shape == (66, 66, 3)
    assert np.abs(grid[16, 16].astype(int) - (254, 0, 0)).max() < 3
    assert grid[16, 50].tolist() == [0, 0, 255]


def test_morph_begins_and_ends_with_the_reconstructions(command: Command, folder: Path) -> None:
    command("morph", "a.jpg", "b.png", "--steps", "4", "--out", "m.png")
    command("reconstruct", "a.jpg", "b.png", "--out", "r.png")
    with Image.open(folder / "m.png") as first, Image.open(folder / "r.png") as second:
        walk, pairs = np.asarray(first), np.asarray(second)
    assert walk.shape == (32, 4 * 34 - 2, 3)
    assert np.abs(walk[:, :32].astype(int) - pairs[34:, :32]).max() <= 1
    assert np.abs(walk[:, 102:].astype(int) - pairs[34:, 34:]).max() <= 1


def edit(*pushes: str, out: str) -> tuple[str, ...]:
    """The words that edit a.jpg by pushes of the form attribute=amount."""
    words = []
    for push in pushes:
        attribute, by = push.split("=")
        words += ["--attribute", attribute, "--by", by]
    return ("edit", "a.jpg", *words, "--out", out)


def test_edit_shows_photo_reconstruction_and_edited_face(command: Command, folder: Path) -> None:
    def faces(*pushes: str) -> np.ndarray:
        assert command(*edit(*pushes, out="e.png")) == "wrote e.png\n"
        with Image.open(folder / "e.png") as image:
            grid = np.asarray(image).astype(int)
        assert grid.shape == (32, 3 * 34 - 2, 3)
        return np.stack([grid[:, :32], grid[:, 34:66], grid[:, 68:]])

    command("reconstruct", "a.jpg", "--out", "r.png")
    with Image.open(folder / "r.png") as image:
        pair = np.asarray(image).astype(int)
    still = faces("Smiling=0")
    assert np.abs(still[0] - pair[:32]).max() == 0
    assert np.abs(still[1] - pair[34:]).max() <= 1
    assert np.abs(still[2] - still[1]).max() <= 1
    smiling, away, both = faces("Smiling=2"), faces("Smiling=-2"), faces("Smiling=2", "Male=-3")
    assert np.abs(smiling[:2] - still[:2]).max() <= 1
    edited = (still[2], smiling[2], away[2], both[2])
    for i, one in enumerate(edited):
        assert all(np.abs(one - other).max() > 2 for other in edited[:i])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (edit("Smile=1", out="e.png"), "Smile: the model has no direction of it; allowed Smiling,"),
        (edit("Smiling=1", out="a.jpg"), "--out a.jpg: must end in .png"),
        (
            (*edit("Male=1", out="e.png"), "--attribute", "Smiling"),
            "2 --attribute and 1 --by: give",
        ),
        (
            (*edit("Male=1", out="e.png"), "--directions", "nowhere"),
            "nowhere/directions.npz: no such file; `dvc repro attributes` writes it",
        ),
        (("sample", "--out", "x.jpg"), "error: --out x.jpg: must end in .png"),
        (
            ("sample", "--model", "nowhere"),
            "nowhere/architecture.json: no such file; `dvc repro train` makes",
        ),
        (("sample", "--zpoints", "nowhere"), "nowhere/samplers.npz"),
        (("reconstruct", "nobody.jpg"), "error: nobody.jpg: no such file"),
        (("reconstruct", "pipe.jpg"), "error: pipe.jpg: no such file"),
        (("reconstruct", "data/model/vae.weights.h5"), "vae.weights.h5: cannot be read as an"),
        (("reconstruct", "b.png", "--out", "b.png"), "is one of the photos"),
        (("reconstruct", "b.png", "--out", "hard.png"), "is one of the photos"),
        (
            ("sample", "--out", "data/samples/overview.png"),
            "overview.png lies in",
        ),
        (("inspect", "--out", "data/shards/x.png"), "--out: data/shards/x.png lies in"),
        (("profile", "--out", "data/report"), "--out: data/report lies in"),
        (("summary",), "error: data/metrics/train.json: no such file; `dvc repro` makes it"),
        (("parameters",), "error: params.yaml: no such file"),
    ],
)
def test_mistakes_get_one_line(command: Command, words: tuple[str, ...], expected: str) -> None:
    text = command(*words, status=1)
    assert expected in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["evaluate.fid=/nowhere.pb"], "evaluate.fid = /nowhere.pb: there is no such file or"),
        (["download.source=local", "download.path=/nowhere"], "download.path = /nowhere: there is"),
        (["model.filters=[16384, 16384, 16384, 16384]", "model.kernel=15"], "GB of memory ("),
    ],
)
def test_parameters_refuses_what_would_fail_here_later(
    command: Command, overrides: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = [word for override in overrides for word in ("-S", override)]
    assert expected in command("parameters", *words, status=1)


FLOATS = [
    (command.name, option)
    for command in cli.commands.values()
    for option in command.params
    if isinstance(option.type, click.types.FloatParamType)
]


@pytest.mark.parametrize(
    ("name", "option"), FLOATS, ids=[f"{name}-{option.name}" for name, option in FLOATS]
)
@pytest.mark.parametrize("value", ["nan", "NaN", "-nan", "inf", "-inf", "1e400"])
def test_no_option_takes_what_is_no_finite_number(
    name: str, option: click.Parameter, value: str
) -> None:
    result = CliRunner().invoke(cli, [name, option.opts[0], value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option.opts[0]}'" in result.stderr
    assert isinstance(option.type, Real)


def test_the_options_that_take_numbers_are_found() -> None:
    assert len(FLOATS) == 3


@pytest.mark.parametrize("name", ["--help"])
def test_a_full_device_is_one_line(name: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "celeba_vae.cli", name],
            cwd=ROOT,
            env=own_environment(ROOT) | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "error: standard output: No space left on device\n",
    )


def test_an_unwritable_place_is_named(command: Command, folder: Path) -> None:
    (folder / "file").write_text("")
    assert "--out file/x.png: cannot be written" in command(
        "sample", "--out", "file/x.png", status=1
    )


def test_parameters_prints_the_articles_totals(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_process("parameters", folder=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "5,109,440" in done.stdout
    assert "2,757,571" in done.stdout
    monkeypatch.chdir(ROOT)
    # In this process TensorFlow has been configured.
    monkeypatch.setattr("celeba_vae.backend.configure_tensorflow", lambda *given: None)
    overrides = ("-S", "model.z_dim=512", "-S", "model.inter_dense=256", "--json")
    report = json.loads(command("parameters", *overrides))
    assert report["decoder"]["parameters"] == 5_116_867
    layers = {layer["name"]: layer for layer in report["encoder"]["layers"]}
    assert layers["inter_dense"] == {
        "name": "inter_dense",
        "output": [256],
        "parameters": 9216 * 256 + 256,
    }
    done = run_process("parameters", "-S", "model.z_dim=x", folder=ROOT)
    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml: model.z_dim = 'x': input should be a valid integer\n"
    )


def test_summary_names_no_kl_loss_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "data/metrics"
    shutil.copytree(ROOT / "data/metrics", metrics)
    train = json.loads((metrics / "train.json").read_text())
    (metrics / "train.json").write_text(json.dumps(train | {"step_bytes": 1}))
    swd = {"validation": 12, "reconstructions": 87, "normal": 115}
    distances = {"images": 9, "test": {}, **{name: {"swd": value} for name, value in swd.items()}}
    distances["not_measured"] = {"recall": "too few images"}
    evaluation = {"reconstruction": {}, "samples": distances}
    likelihood = {"likelihood": {"bound_bits_per_dimension": 6.96}}
    (metrics / "evaluate.json").write_text(json.dumps(evaluation | likelihood))
    monkeypatch.chdir(tmp_path)
    whole = CliRunner().invoke(cli, ["summary"]).output
    assert "KL loss" in whole
    assert "data/report/report.html" in whole
    zpoints = json.loads((metrics / "zpoints.json").read_text())
    del zpoints["validation"]["kl_nats_per_image"]
    (metrics / "zpoints.json").write_text(json.dumps(zpoints))
    assert "6.96 bits" in CliRunner().invoke(cli, ["summary"]).output
    (metrics / "evaluate.json").write_text(json.dumps(evaluation))
    result = CliRunner().invoke(cli, ["summary"])
    assert result.exit_code == 0
    assert "PSNR" in result.output
    assert "KL" not in result.output
    assert "115 from normal; of other real faces: 12" in result.output
    assert "none" in result.output
    (metrics / "evaluate.json").write_text("[]")
    result = CliRunner().invoke(cli, ["summary"])
    assert str(result.exception).startswith("data/metrics/evaluate.json: is damaged, or not a JSON")
