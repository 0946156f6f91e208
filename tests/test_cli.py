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
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

import celeba_vae
from celeba_vae.cli.options import Real
from celeba_vae.cli.pictures import MOVING, STILL, save, save_animation
from celeba_vae.cli.program import cli, main
from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.directions import DIRECTIONS_FILE, direction_arrays
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.latent.samplers import SAMPLERS_FILE, sampler_arrays
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams
from celeba_vae.runtime.errors import UserError
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
    steps, aucs = {"Smiling": np.arange(6.0), "Male": np.ones(6)}, {"Smiling": 0.7, "Male": 0.9}
    write_arrays(
        folder / "data/attributes" / DIRECTIONS_FILE, direction_arrays(steps, aucs, z_dim=6)
    )
    os.mkfifo(folder / "pipe.jpg")
    for name, colour in (("a.jpg", "red"), ("b.png", "blue")):
        Image.new("RGB", (178, 218), colour).save(folder / name)
    (folder / "hard.png").hardlink_to(folder / "b.png")
    (folder / "album").mkdir()
    for name in ("2.JPG", "1.jpg", "notes.txt", ".hidden.jpg"):
        shutil.copy(folder / "a.jpg", folder / "album" / name)
    (folder / "empty").mkdir()
    return folder


NOTE = "note: this model has seen synthetic faces only"
LOADING = "loading the model ..."
BUILDING = "building the model ..."

Command = Callable[..., str]


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run the command line in this process; what it prints, or its error, comes back."""
    monkeypatch.chdir(folder)

    def call(*words: str, status: int = 0, loaded: bool | None = None) -> str:
        monkeypatch.setattr("sys.argv", ["celeba-vae", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        # Python prints a text that a program is ended with, and its status is then 1.
        error = f"{ended.value.code}\n" if isinstance(ended.value.code, str) else ""
        assert (1 if error else ended.value.code) == status, said
        assert all(line.startswith((NOTE, LOADING, BUILDING)) for line in said.err.splitlines())
        assert loaded in (None, LOADING in said.err)
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


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_sample(command: Command, folder: Path) -> None:
    words = ("sample", "--rows", "2", "--columns", "3", "--scale", "1")
    said = command(*words, "--out", "best.png", loaded=True)
    assert said.startswith("wrote best.png\ngenerated from ")
    name, temperature = said.rstrip().rpartition("generated from ")[2].split(", temperature ")
    assert size_of(folder / "best.png") == (3 * 34 - 2, 2 * 34 - 2)
    # What is left open is what did best on validation; here in a process of its own.
    options = ("--out", "same.png", "--sampler", name, "--temperature", temperature)
    done = run_process(*words, *options, folder=folder)
    assert (done.returncode, done.stderr) == (0, f"{LOADING}\n")
    assert done.stdout == said.replace("best.png", "same.png")
    assert (folder / "same.png").read_bytes() == (folder / "best.png").read_bytes()
    said = command(*words, "--out", "c.png", "--sampler", "normal", "--temperature", "1")
    assert said == "wrote c.png\ngenerated from normal, temperature 1\n"
    command(*words, "--out", "d.png", "--sampler", "normal", "--temperature", "0.5")
    command(*words, "--out", "e.png", "--sampler", "ellipse", "--seed", "2")
    assert len({(folder / f"{name}.png").read_bytes() for name in ("best", *"cde")}) == 4


def test_faces_are_enlarged_and_written_one_by_one(command: Command, folder: Path) -> None:
    words = ("sample", "--rows", "2", "--columns", "5")
    said = command(*words, "--separate")
    assert said.startswith("wrote data/results/sample-01.png\nwrote data/results/sample-02.png\n")
    assert size_of(folder / "data/results/sample-10.png") == (192, 192)
    command(*words, "--out", "one.png", "--scale", "1", "--separate")
    command(*words, "--out", "grid.png", "--scale", "1")
    grid = pixels_of(folder / "grid.png")
    assert np.array_equal(grid[34:66, 68:100], pixels_of(folder / "one-08.png"))


def test_what_the_name_says_is_written(command: Command, folder: Path) -> None:
    words = ("sample", "--rows", "1", "--columns", "2", "--out")
    for name, kind in (("x.png", "PNG"), ("x.jpg", "JPEG"), ("x.JPEG", "JPEG")):
        command(*words, name)
        with Image.open(folder / name) as image:
            assert image.format == kind
    exact, jpeg = pixels_of(folder / "x.png"), pixels_of(folder / "x.jpg")
    assert np.abs(exact - jpeg).mean() < 3


def test_reconstruct_shows_photos_above_reconstructions(command: Command, folder: Path) -> None:
    command("reconstruct", "a.jpg", "b.png", "--out", "r.png", "--scale", "1", loaded=True)
    grid = pixels_of(folder / "r.png")[:, -66:]
    assert grid.shape == (66, 66, 3)
    assert np.abs(grid[16, 16] - (254, 0, 0)).max() < 3
    assert grid[16, 50].tolist() == [0, 0, 255]
    assert np.array_equal(grid[34:, :32], faces_of(folder / "data/model", "a.jpg")[0])


def test_reconstruct_takes_folders_and_begins_new_rows(command: Command, folder: Path) -> None:
    words = ("reconstruct", *["b.png"] * 7, "album", "--out", "album.png", "--scale", "1")
    command(*words)
    grid = pixels_of(folder / "album.png")
    # Nine photos are a row of eight and a row of one, each with its reconstructions below.
    assert len(grid) == 4 * 34 - 2
    photos = grid[68:100, -(8 * 34 - 2) :]
    assert np.abs(photos[:, :32] - (254, 0, 0)).max() < 3
    assert (photos[:, 34:] == 255).all()


def faces_of(model: Path, *photos: str) -> np.ndarray:
    """Return what the Python API makes of photos."""
    loaded = celeba_vae.load(model)
    return loaded.reconstruct(loaded.read(photos))


def test_morph_stands_between_its_photos(command: Command, folder: Path) -> None:
    words = ("morph", "a.jpg", "b.png", "--steps", "4", "--scale", "1")
    command(*words, "--out", "m.png")
    walk = pixels_of(folder / "m.png")[-32:]
    assert walk.shape == (32, 6 * 34 - 2, 3)
    tiles = [walk[:, start : start + 32] for start in range(0, 6 * 34, 34)]
    ends = faces_of(folder / "data/model", "a.jpg", "b.png")
    assert np.abs(tiles[0] - (254, 0, 0)).max() < 3
    assert np.abs(tiles[1] - ends[0]).max() <= 1
    assert np.abs(tiles[4] - ends[1]).max() <= 1
    assert np.abs(tiles[5] - (0, 0, 255)).max() == 0
    command(*words, "--out", "m.gif")
    with Image.open(folder / "m.gif") as moving:
        assert (moving.format, moving.size, moving.info["loop"]) == ("GIF", (32, 32), 0)
        assert np.abs(np.asarray(moving.convert("RGB")).astype(int) - tiles[1]).mean() < 12


def test_a_picture_too_long_for_a_jpeg_is_refused(tmp_path: Path) -> None:
    line = np.zeros((1, 65_501, 3), np.uint8)
    with pytest.raises(UserError, match=r"x\.jpg: a JPEG has at most 65,500 pixels a side"):
        save(tmp_path / "x.jpg", line)
    save(tmp_path / "x.jpg", line[:, 1:])
    save(tmp_path / "x.png", line)


def test_git_ignores_the_pictures_of_all_commands() -> None:
    outs = [
        str(option.default)
        for command in cli.commands.values()
        for option in command.params
        if option.name == "out"
    ]
    assert len(outs) >= 6
    # And where people are likely to put them instead.
    outs += [f"faces{ending}" for ending in (*STILL, *MOVING)]
    files = [out if Path(out).suffix else f"{out}/profile.png" for out in outs]
    done = run("git", "check-ignore", "--no-index", *files, cwd=ROOT)
    assert done.stdout.split() == files


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp", "walk.apng"])
def test_an_animation_runs_there_and_back(tmp_path: Path, name: str) -> None:
    frames = (
        np.full((4, 16, 16, 3), 255, np.uint8)
        // np.arange(1, 5, dtype=np.uint8)[:, None, None, None]
    )
    save_animation(tmp_path / name, frames)
    with Image.open(tmp_path / name) as moving:
        assert isinstance(moving, GifImageFile | PngImageFile | WebPImageFile)
        assert (moving.n_frames, moving.info["loop"], moving.size) == (6, 0, (16, 16))
        for number, frame in enumerate((0, 1, 2, 3, 2, 1)):
            moving.seek(number)
            shown = np.asarray(moving.convert("RGB")).astype(int)
            assert np.abs(shown - frames[frame]).max() <= 2
            assert moving.info["duration"] == (700 if frame in (0, 3) else 60)


def test_edit_shows_photo_reconstruction_and_edited_face(command: Command, folder: Path) -> None:
    def faces(*pushes: str) -> np.ndarray:
        said = command("edit", "a.jpg", *pushes, "--out", "e.png", "--scale", "1", loaded=True)
        assert said.startswith("wrote e.png\nSmiling: AUC 0.700, unreliable (below 0.8)\n")
        assert ("Male: AUC 0.900\n" in said) == (len(pushes) == 2)
        row = pixels_of(folder / "e.png")[-32:, : 3 * 34 - 2]
        return np.stack([row[:, :32], row[:, 34:66], row[:, 68:]])

    still = faces("Smiling=0")
    assert np.abs(still[0] - (254, 0, 0)).max() < 3
    assert np.abs(still[1] - faces_of(folder / "data/model", "a.jpg")[0]).max() <= 1
    assert np.abs(still[2] - still[1]).max() <= 1
    smiling, away, both = faces("Smiling=2"), faces("Smiling=-2"), faces("Smiling=2", "Male=-3")
    assert np.abs(smiling[:2] - still[:2]).max() <= 1
    edited = (still[2], smiling[2], away[2], both[2])
    for i, one in enumerate(edited):
        assert all(np.abs(one - other).max() > 2 for other in edited[:i])


def test_edit_lists_the_surest_attributes_first(command: Command) -> None:
    lines = command("edit", "--list", loaded=False).splitlines()
    assert [line.split() for line in lines] == [
        ["Male", "AUC", "0.900"],
        ["Smiling", "AUC", "0.700,", "unreliable", "(below", "0.8)"],
    ]


def test_names_of_attributes_do_not_steer_the_terminal(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data/model", tmp_path / "model")
    steps = {"Big\x1b[31m_Nose": np.ones(6)}
    arrays = direction_arrays(steps, dict.fromkeys(steps, 0.9), z_dim=6)
    write_arrays(tmp_path / "attributes" / DIRECTIONS_FILE, arrays)
    done = CliRunner().invoke(cli, ["edit", "--list", "--model", str(tmp_path / "model")])
    assert done.output == "Big\\x1b[31m_Nose     AUC 0.900\n"


def test_a_model_of_photos_gets_no_note(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder / "data/model", tmp_path / "data/model"))
    described = json.loads((model / "architecture.json").read_text())
    result = CliRunner().invoke(cli, ["reconstruct", "nobody.jpg", "--model", str(model)])
    assert "no such file" in str(result.exception)
    words = ["edit", str(folder / "a.jpg"), "Q=1", "--model", str(model)]
    assert NOTE in CliRunner().invoke(cli, words).stderr
    described["trained_on"]["source"] = "local"
    (model / "architecture.json").write_text(json.dumps(described))
    assert NOTE not in CliRunner().invoke(cli, words).stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("edit", "a.jpg", "Smile=1"),
            "Smile: the model has no direction of it; did you mean Smiling? allowed: Smiling, Male",
        ),
        (("edit", "b.png", "Smiling=1", "--out", "b.png"), "is one of the photos"),
        (("edit", "a.jpg"), "give a photo and what to change"),
        (("edit", "a.jpg", "Male=1", "Male=2"), "the same attribute is given twice"),
        (
            ("edit", "--list", "--model", "nowhere"),
            "nowhere/architecture.json: no such file; `dvc repro train` makes",
        ),
        (("compare", "a", "b", "a"), "error: a: is named twice"),
        (("sample", "--out", "b.png/x.png"), "b.png is no folder that can be written"),
        (("sample", "--out", "x.gif"), "error: --out x.gif: must end in .png, .jpg or .jpeg"),
        (("morph", "a.jpg", "b.png", "--out", "x.mp4"), ".jpeg, .gif, .webp or .apng"),
        (
            ("sample", "--rows", "100", "--columns", "100"),
            "10000 faces of 192 pixels make a picture of more than 268,435,456: take fewer",
        ),
        (
            ("sample", "--model", "nowhere"),
            "nowhere/architecture.json: no such file; `dvc repro train` makes",
        ),
        (("reconstruct", "nobody.jpg"), "error: nobody.jpg: no such file"),
        (("reconstruct", "empty"), "error: empty: this folder holds no images"),
        (("reconstruct", "pipe.jpg"), "error: pipe.jpg: is no regular file"),
        (("reconstruct", "data/model/vae.weights.h5"), "vae.weights.h5: cannot be read as an"),
        (("reconstruct", "b.png", "--out", "hard.png"), "is one of the photos"),
        (("reconstruct", "album", "--out", "album/1.jpg"), "is one of the photos"),
        (
            ("sample", "--out", "data/samples/overview.png"),
            "overview.png lies in",
        ),
        (("inspect", "--out", "data/shards/x.png"), "--out: data/shards/x.png lies in"),
        (("profile", "--out", "data/report"), "--out: data/report lies in"),
        (("summary",), "error: dvc.lock: no such file; run this at the top"),
        (("parameters",), "error: params.yaml: no such file"),
    ],
)
def test_mistakes_get_one_line_before_tensorflow_loads(
    command: Command, words: tuple[str, ...], expected: str
) -> None:
    text = command(*words, status=1, loaded=False)
    assert expected in text
    assert text.count("\n") == 1


def test_what_lies_beside_the_model_is_asked_for(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(folder / "data/model", tmp_path / "data/model"))
    for words, file in (
        (["sample"], "zpoints/samplers.npz: no such file; `dvc repro zpoints` writes it"),
        (["edit", "--list"], "attributes/directions.npz: no such file; `dvc repro attributes`"),
    ):
        result = CliRunner().invoke(cli, [*words, "--model", str(model)])
        assert f"{tmp_path}/data/{file}" in str(result.exception)
        assert result.stderr == ""
    none = direction_arrays({}, {}, z_dim=6)
    write_arrays(tmp_path / "data/attributes" / DIRECTIONS_FILE, none)
    result = CliRunner().invoke(cli, ["edit", "--list", "--model", str(model)])
    assert "bring them in a list_attr_celeba.csv" in str(result.exception)


@pytest.mark.parametrize("word", ["Smiling", "=1", "Smiling=", "Smiling=nan", "Smiling=1e400"])
def test_what_is_no_push_is_refused(folder: Path, word: str) -> None:
    result = CliRunner().invoke(cli, ["edit", str(folder / "a.jpg"), word])
    assert result.exit_code == 2
    assert "Invalid value" in result.stderr


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
    assert len(FLOATS) == 2


@pytest.mark.parametrize("name", ["--help", "summary"])
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


def test_what_cannot_be_written_is_named(command: Command) -> None:
    name = 300 * "x" + ".png"
    said = command("sample", "--out", name, status=1, loaded=True)
    assert f"--out {name}: cannot be written: File name too long" in said


def test_parameters_prints_the_articles_totals(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_process("parameters", folder=ROOT)
    assert (done.returncode, done.stderr) == (0, f"{BUILDING}\n")
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
