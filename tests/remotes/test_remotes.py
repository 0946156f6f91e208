"""Results that travel over real servers: complete, unharmed, or not at all."""

import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml

from celeba_vae.runtime.files import sha256_of
from tests.remotes.servers import Server, kill, objects_in, running, s3_server, ssh_server
from tests.support import ROOT, run, succeed

STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
SHARED = [stage for stage in STAGES if stage != "download"]


@pytest.fixture(params=[s3_server, ssh_server])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A server with an empty store; it does not run yet."""
    made: Server = request.param(tmp_path / "server")
    return made


@pytest.fixture
def sharing(server: Server, prepared: Path, tmp_path: Path) -> Path:
    """A project with shards, whose remote is on the server."""
    return with_remote(prepared, server, tmp_path / "sharing")


def with_remote(project: Path, server: Server, copy: Path) -> Path:
    """Copy a project with its cache and add a remote, as the README says."""
    shutil.copytree(project, copy)
    succeed("dvc", "remote", "add", "--default", "storage", server.url, cwd=copy)
    succeed("dvc", "remote", "modify", "storage", "verify", "true", cwd=copy)
    for name, value in server.settings.items():
        succeed("dvc", "remote", "modify", "storage", name, value, cwd=copy)
    succeed("git", "commit", "-qam", "remote", cwd=copy)
    identify(copy, server.credentials)
    return copy


def identify(project: Path, credentials: dict[str, str]) -> None:
    for name, value in credentials.items():
        succeed("dvc", "remote", "modify", "--local", "storage", name, value, cwd=project)


def clone_of(project: Path, folder: Path) -> Path:
    """Clone what is in git and hand over the credentials, nothing else."""
    succeed("git", "clone", "-q", str(project), str(folder), cwd=project)
    shutil.copy(project / ".dvc/config.local", folder / ".dvc")
    return folder


def results(project: Path) -> dict[str, str]:
    """The sha256 of each file that stages made, without what is never pushed."""
    return {
        str(path.relative_to(project)): sha256_of(path)
        for path in sorted((project / "data").rglob("*"))
        if path.is_file()
        and path.relative_to(project / "data").parts[0] not in ("imported", "scratch")
    }


def md5_of_out(project: Path, stage: str) -> str:
    """The name of the object that lists the files of a stage's folder."""
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    return str(lock["stages"][stage]["outs"][0]["md5"])


def md5_of_shards(project: Path) -> str:
    return md5_of_out(project, "prepare")


def md5_of_shard(project: Path) -> str:
    """The name of the object of the largest file among the shards."""
    md5 = md5_of_shards(project)
    listing = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    sizes = {
        entry["md5"]: (project / "data/shards" / entry["relpath"]).stat().st_size
        for entry in yaml.safe_load(listing.read_text())
    }
    return str(max(sizes, key=lambda name: sizes[name]))


@pytest.mark.slow
def test_results_travel_without_the_raw_archive(
    sharing: Path, server: Server, tmp_path: Path
) -> None:
    clone = clone_of(sharing, tmp_path / "clone")
    with running(server):
        succeed("dvc", "push", cwd=sharing)
        succeed("dvc", "pull", "--allow-missing", "download", "prepare", cwd=clone)
    pushed = objects_in(server.objects)
    assert md5_of_out(sharing, "prepare") in pushed
    assert md5_of_out(sharing, "download") not in pushed
    for secret in server.credentials.values():
        assert run("git", "grep", "-q", secret, "HEAD", ".dvc", cwd=sharing).returncode == 1

    assert results(clone) == results(sharing)
    assert not (clone / "data/imported").exists()
    output = succeed("dvc", "repro", "--allow-missing", "prepare", cwd=clone)
    assert "Running stage" not in output
    assert "Data and pipelines are up to date" in output
    assert succeed("git", "status", "--porcelain", cwd=clone) == ""


@pytest.mark.slow
def test_wrong_credentials_bring_nothing_in_and_nothing_out(
    sharing: Path, server: Server, tmp_path: Path
) -> None:
    clone = clone_of(sharing, tmp_path / "clone")
    identify(sharing, server.wrong_credentials)
    with running(server):
        refused = run("dvc", "push", cwd=sharing)
        assert not server.objects.exists()
        identify(sharing, server.credentials)
        succeed("dvc", "push", cwd=sharing)
        identify(clone, server.wrong_credentials)
        refused_too = run("dvc", "pull", "prepare", cwd=clone)
    assert not (clone / "data/shards").exists()
    for done in (refused, refused_too):
        assert done.returncode != 0
        assert server.refusal in done.stderr


def test_make_pulls_all_stages_that_can_be_pulled() -> None:
    assert f"\nPULLED ?= {' '.join(SHARED)}\n" in (ROOT / "Makefile").read_text()


def pull(clone: Path, *stages: str) -> subprocess.CompletedProcess[str]:
    """Pull as the README says, with the environment of this test instead of a new one."""
    (clone / ".venv").mkdir(exist_ok=True)
    (clone / ".venv/installed").touch()
    return run("make", "pull", f"PULLED={' '.join(stages)}", cwd=clone)


def remove(path: Path) -> None:
    path.unlink()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def misname_a_file(listing: Path) -> None:
    listing.write_bytes(listing.read_bytes().replace(b"train-00000", b"urain-00000"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("find", "damage", "complaint"),
    [
        (md5_of_shard, remove, "ERROR: failed to pull data from the cloud"),
        (md5_of_shard, flip_a_bit, "ERROR: failed to pull data from the cloud"),
        (md5_of_shards, remove, "ERROR: failed to pull data from the cloud"),
        # DVC takes this one for what it asked for.
        (md5_of_shards, misname_a_file, "error: what the remote gave is not what dvc.lock says"),
    ],
)
def test_what_the_server_lost_or_spoilt_is_not_accepted(
    sharing: Path,
    server: Server,
    tmp_path: Path,
    find: Callable[[Path], str],
    damage: Callable[[Path], None],
    complaint: str,
) -> None:
    clone = clone_of(sharing, tmp_path / "clone")
    with running(server):
        succeed("dvc", "push", cwd=sharing)
    whole = objects_in(server.objects)
    damaged = server.object(find(sharing))
    damage(damaged)

    with running(server):
        for _ in range(2):  # the second time must not take for whole what the first left
            done = pull(clone, "prepare")
            assert done.returncode != 0, done.stdout + done.stderr
            assert complaint in done.stderr
            objects_in(clone / ".dvc/cache/files/md5")

    # DVC takes all files of a folder for pushed when the list of its files is.
    damaged.unlink(missing_ok=True)
    for listing in server.objects.rglob("*.dir"):
        listing.unlink()
    with running(server):
        succeed("dvc", "push", cwd=sharing)
        done = pull(clone, "prepare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert objects_in(server.objects) == whole
    assert results(clone) == results(sharing)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one waits until the project is reproduced
def test_a_whole_run_and_an_experiment_travel(
    server: Server, reproduced: Path, tmp_path: Path
) -> None:
    sharing = with_remote(reproduced, server, tmp_path / "sharing")
    hub = tmp_path / "hub.git"
    succeed("git", "clone", "-q", "--bare", str(sharing), str(hub), cwd=tmp_path)
    succeed("git", "remote", "add", "origin", str(hub), cwd=sharing)
    clone = tmp_path / "clone"
    succeed("git", "clone", "-q", str(hub), str(clone), cwd=tmp_path)
    identify(clone, server.credentials)
    with running(server):
        succeed("dvc", "push", cwd=sharing)
        succeed("dvc", "pull", "--allow-missing", cwd=clone)
        assert pull(clone, *SHARED).returncode == 0
        assert results(clone) == results(sharing)
        assert nothing_to_do(clone)

        succeed("dvc", "exp", "run", "-n", "other", "-S", "generate.seed=5", cwd=sharing)
        succeed("dvc", "exp", "push", "origin", "other", cwd=sharing)
        succeed("dvc", "exp", "pull", "origin", "other", cwd=clone)
        succeed("dvc", "exp", "branch", "other", "review", cwd=clone)
        succeed("git", "switch", "-q", "review", cwd=clone)
        assert pull(clone, *SHARED).returncode == 0
    assert results(clone) == results(sharing)
    assert nothing_to_do(clone)
    assert md5_of_out(sharing, "download") not in objects_in(server.objects)


def nothing_to_do(project: Path) -> bool:
    """Say whether DVC runs no stage and changes no file that is in git."""
    output = succeed("dvc", "repro", "--allow-missing", cwd=project)
    changed = succeed("git", "status", "--porcelain", cwd=project)
    return "Running stage" not in output and "up to date" in output and changed == ""


@pytest.mark.slow
def test_a_push_goes_on_after_the_server_died_in_it(
    sharing: Path, server: Server, tmp_path: Path
) -> None:
    # One file is so large that the server dies while it takes just that.
    content = np.random.default_rng(0).bytes(200_000_000)
    (sharing / "data/large").write_bytes(content)
    succeed("dvc", "add", "data/large", cwd=sharing)
    succeed("git", "add", "-A", cwd=sharing)
    succeed("git", "commit", "-qm", "large", cwd=sharing)
    clone = clone_of(sharing, tmp_path / "clone")
    with (
        running(server) as process,
        subprocess.Popen(["dvc", "push"], cwd=sharing, stderr=subprocess.PIPE, text=True) as push,
    ):
        while push.poll() is None and sum(sizes(server.objects)) < 10_000_000:
            time.sleep(0.005)
        kill(process)
        _, errors = push.communicate(timeout=240)
    assert push.returncode != 0
    assert "ERROR: failed to push data to the cloud" in errors
    assert 10_000_000 < sum(sizes(server.objects)) < 200_000_000
    objects_in(server.objects)

    with running(server):
        done = run("dvc", "pull", "prepare", "data/large.dvc", cwd=clone)
        assert done.returncode != 0
        assert "ERROR: failed to pull data from the cloud" in done.stderr
        assert not (clone / "data/large").exists()
        succeed("dvc", "push", cwd=sharing)
        succeed("dvc", "pull", "prepare", "data/large.dvc", cwd=clone)
    assert (clone / "data/large").read_bytes() == content
    assert results(clone) == results(sharing)


def sizes(folder: Path) -> list[int]:
    """The sizes of all files, also of unfinished ones, which a server may just rename."""
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found.append(path.stat().st_size if path.is_file() else 0)
    return found
