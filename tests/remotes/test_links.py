"""Outs that are links into DVC's cache: no stage writes through them."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.remotes.servers import objects_in
from tests.support import out_of, run, succeed


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one waits until the project is reproduced
@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_stages_run_on_links_and_leave_the_cache_whole(
    reproduced: Path, tmp_path: Path, kind: str
) -> None:
    project = tmp_path / "linked"
    shutil.copytree(reproduced, project)
    succeed("dvc", "config", "--local", "cache.type", kind, cwd=project)
    succeed("dvc", "checkout", "--relink", cwd=project)
    assert not unlinked(project, kind)
    cached = objects_in(project / ".dvc/cache/files/md5")

    succeed("dvc", "repro", "--force", cwd=project, timeout=600)
    assert not unlinked(project, kind)
    assert objects_in(project / ".dvc/cache/files/md5") == cached
    assert succeed("git", "status", "--porcelain", cwd=project) == ""
    assert run("dvc", "status", "--quiet", cwd=project).returncode == 0


def unlinked(project: Path, kind: str) -> list[Path]:
    """The files among all outs that are not read-only links to an object in DVC's cache."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    outs = [project / out_of(stage) for stage in stages]
    files = [path for out in outs for path in out.rglob("*") if path.is_file()]
    assert len(files) > 50
    return [path for path in files if not _is_link(path, kind) or path.stat().st_mode & 0o222]


def _is_link(path: Path, kind: str) -> bool:
    return path.is_symlink() if kind == "symlink" else path.stat().st_nlink > 1
