import json
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

from celeba_vae.faces.synthetic import write_dataset
from celeba_vae.params import load_params
from celeba_vae.shards.write import write_shards
from celeba_vae.verify.tiny_params import TINY
from tests.support import ROOT, run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards of drawn faces where the command looks for them."""
    folder = tmp_path_factory.mktemp("project")
    write_dataset(folder / "raw", images=48, seed=1, workers=2)
    params = load_params(ROOT / "params.yaml", TINY).prepare
    write_shards(folder / "raw", folder / "data/shards", params=params, workers=1)
    return folder


def inspect(project: Path, *words: str) -> CompletedProcess[str]:
    return run(sys.executable, "-m", "celeba_vae.cli", "inspect", *words, cwd=project)


def test_tables_and_sheet(project: Path) -> None:
    done = inspect(project, "--verify")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("source synthetic, images 32 x 32 x 3, crop 148 pixels, filter ")
    assert lines[-1] == "wrote data/results/contact_sheet.png"
    assert max(map(len, lines)) <= 100
    assert "Eyeglasses" in done.stdout
    with Image.open(project / "data/results/contact_sheet.png") as sheet:
        assert sheet.height == 9 * 34 - 2


def test_json_has_the_same_values_and_nothing_else_on_stdout(project: Path) -> None:
    done = inspect(project, "--json", "--out", "other.png")
    report = json.loads(done.stdout)
    assert {name: split["images"] for name, split in report["splits"].items()} == {
        "train": 38,
        "validation": 5,
        "test": 5,
    }
    assert len(report["splits"]["test"]["attributes"]) == 40
    tables = inspect(project, "--out", "other.png").stdout
    assert f"{report['splits']['train']['channel_std'][1]:.2f}" in tables
    assert "wrote other.png" in done.stderr


def test_a_flipped_byte_ends_it_with_one_line(project: Path) -> None:
    shard = project / "data/shards/train-00001-of-00003.npy"
    whole = shard.read_bytes()
    try:
        shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
        assert inspect(project).returncode == 0  # only --verify reads every byte twice
        done = inspect(project, "--verify", "--out", "third.png")
    finally:
        shard.write_bytes(whole)
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {Path('data/shards') / shard.name}: its sha256 is ")
    assert "1 of 5 shards are damaged" in last
    assert "Traceback" not in done.stderr
    assert not (project / "third.png").exists()


def test_wrong_options_are_refused_before_any_work(project: Path) -> None:
    done = inspect(project, "--out", "sheet.gif")
    assert done.stderr == "error: --out sheet.gif: must end in .png, .jpg or .jpeg\n"
    done = inspect(project, "--shards", "nowhere")
    assert done.returncode == 1
    assert "nowhere/manifest.json: no such file" in done.stderr
    assert done.stderr.count("\n") == 1


def test_tensorflow_is_not_loaded(project: Path) -> None:
    code = (
        "import sys, celeba_vae.cli.program as c\n"
        "try: c.main()\n"
        "finally: assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = run(sys.executable, "-c", code, "inspect", "--out", "x.png", cwd=project)
    assert done.returncode == 0, done.stderr
