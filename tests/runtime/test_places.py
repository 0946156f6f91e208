"""The folders that stages write are those of dvc.yaml, and no path of the user's may lie there."""

from pathlib import Path

import pytest
import yaml

from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.places import METRICS, WRITTEN, check_outside
from celeba_vae.runtime.scratch import SCRATCH_VARIABLE, scratch_folder
from celeba_vae.verify.consistency import OUT_KINDS
from tests.support import ROOT


def test_all_outs_of_the_pipeline_are_known() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    outs = [out for stage in stages for kind in OUT_KINDS for out in stage.get(kind, [])]
    paths = {Path(out if isinstance(out, str) else next(iter(out))) for out in outs}
    assert {path.parent if path.parent == METRICS else path for path in paths} == set(WRITTEN)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, by what it is known by, whose data lie on another disk."""
    top = tmp_path / "checkout"
    (top / "src/celeba_vae").mkdir(parents=True)
    (top / "dvc.yaml").touch()
    (tmp_path / "disk").mkdir()
    (top / "data").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/shards").mkdir()
    (top / "photos").mkdir()
    (top / "link").symlink_to("data/shards")
    (top / "loop").symlink_to("loop")
    monkeypatch.chdir(top)
    return top


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("folder", [*map(str, WRITTEN), "data/shards/a/b", "link", "link/a"])
def test_a_place_in_what_a_stage_writes_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, elsewhere: bool
) -> None:
    if elsewhere:  # As an experiment, which runs in a copy.
        (project / "data").unlink()
        monkeypatch.chdir(tmp_path)
        if folder.startswith("link"):
            pytest.skip("the link leads to nothing")
    with pytest.raises(UserError, match=r"^download.path: .* lies in .*, which a stage writes"):
        check_outside(project / folder, "download.path")


@pytest.mark.parametrize("folder", [".", "data", "..", "/", "../disk"])
def test_a_folder_that_holds_what_a_stage_writes_is_refused(project: Path, folder: str) -> None:
    check_outside(project / folder, "--out")
    with pytest.raises(UserError, match=r"^download.path: .* holds .*, which a stage writes"):
        check_outside(project / folder, "download.path", above=True)


@pytest.mark.parametrize(
    "folder",
    ["photos", "nowhere", "loop", "data/raw", "data/raw/photos", "data/shards2", "a\0b", "x" * 300],
)
def test_any_other_place_is_free(project: Path, folder: str) -> None:
    check_outside(project / folder, "download.path", above=True)


def test_a_link_out_of_the_photos_into_another_folder_decides(project: Path) -> None:
    (project / "disk2").mkdir()
    (project / "photos/imported").mkdir()
    (project / "data/imported").symlink_to(project / "photos/imported")
    with pytest.raises(UserError, match="holds"):
        check_outside(project / "photos", "download.path", above=True)


@pytest.mark.parametrize(
    "overrides",
    [
        ("download.source=local", "download.path={}"),
        ("download.source=celeba", "download.path={}"),
        ("evaluate.fid={}",),
    ],
)
def test_parameters_are_looked_at_before_any_stage(
    project: Path, overrides: tuple[str, ...]
) -> None:
    inside = [text.format(project / "data/evaluation/x") for text in overrides]
    with pytest.raises(UserError, match=r"^.*params.yaml: (download.path|evaluate.fid): .* lies"):
        load_params(ROOT / "params.yaml", inside)
    outside = [text.format(project / "photos") for text in overrides]
    load_params(ROOT / "params.yaml", outside)


def test_scratch_is_looked_at_where_it_is_used(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCRATCH_VARIABLE, str(project / "data"))
    assert scratch_folder("train") == project / "data/train"
    monkeypatch.setenv(SCRATCH_VARIABLE, str(project / "data/model/s"))
    with pytest.raises(UserError, match=f"^{SCRATCH_VARIABLE}: .* lies in"):
        scratch_folder("train")


def test_an_experiment_in_a_copy_uses_the_scratch_folder_of_the_original(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # DVC sets the variable for every stage that it runs.
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.chdir(project)
    assert scratch_folder("train") == Path("data/scratch/train")
    monkeypatch.chdir(tmp_path)
    assert scratch_folder("train") == project / "data/scratch/train"
    monkeypatch.setenv(SCRATCH_VARIABLE, "elsewhere")
    assert scratch_folder("train") == Path("elsewhere/train")
