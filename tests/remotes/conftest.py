"""A project with shards, and a home of their own for what DVC, git and SSH look up there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import commit, make_project, succeed


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without settings, keys and credentials."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(folder))
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "dvc"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project with faces and shards, committed."""
    project = make_project(tmp_path_factory.mktemp("prepared"))
    succeed("dvc", "repro", "prepare", cwd=project)
    commit(project, "prepared")
    return project
