"""The gate with runs, on the first three stages with tiny parameters; with faults planted."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from celeba_vae.machine import MACHINE_FILE, describe_machine
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_json
from celeba_vae.verify.reproduce import (
    EMULATOR,
    check_emulator,
    clone,
    committed_state,
    emulating_python,
)
from celeba_vae.verify.run import verify, verify_quickly
from celeba_vae.verify.tiny_params import set_params
from tests.support import children, commit, make_project, run, succeed, wait_for_end

THREADS = 2


@pytest.fixture(scope="module")
def unmade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three stages, for this machine, committed without a lock."""
    folder = make_project(tmp_path_factory.mktemp("gate") / "project")
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    short = {name: stages[name] for name in ("download", "prepare", "train")}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": short}))
    write_json(folder / MACHINE_FILE, describe_machine(THREADS, "avx2"))
    commit(folder, "short")
    return folder


@pytest.fixture
def project(unmade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to plant faults in; what the gate keeps of a failure lies in `tmp_path / "kept"`."""
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "kept"))
    shutil.copytree(unmade, tmp_path / "project")
    return tmp_path / "project"


def reproduce_and_commit(project: Path) -> None:
    succeed("dvc", "repro", cwd=project)
    commit(project, "reproduced")


def plant(project: Path, file: str, old: str, new: str) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))
    commit(project, "fault")


def kept(project: Path) -> list[Path]:
    return list((project.parent / "kept").glob("celeba-vae-verify-*"))


def test_what_is_not_committed_is_not_verified(project: Path) -> None:
    assert committed_state(project) in succeed("git", "log", "-1", "--format=%H", cwd=project)
    (project / "untracked.txt").touch()
    committed_state(project)
    (project / "params.yaml").write_text("")
    with pytest.raises(UserError, match=r"^not committed: params.yaml; what is verified is"):
        committed_state(project)
    with pytest.raises(UserError, match=r"^git rev-parse in .*: fatal: not a git repository"):
        committed_state(project.parent)


@pytest.mark.slow
def test_the_committed_run_is_proven_and_nothing_is_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduce_and_commit(project)
    # What a user's environment may hold must not lead it elsewhere.
    monkeypatch.setenv("CELEBA_VAE_SCRATCH", str(project / "data/scratch"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    text = verify(project, describe_machine(THREADS, "avx2"))
    monkeypatch.delenv("GIT_DIR")
    assert "on this machine: every byte must be the same." in text
    assert text.endswith("Reproduced: 4 of 4 comparisons hold.")
    assert kept(project) == []
    assert succeed("git", "status", "--porcelain", cwd=project) == ""


@pytest.mark.slow
def test_a_byte_flipped_in_a_cached_shard_is_found_in_what_was_made_of_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A disk that rots: the shard and DVC's copy of it are one file, whose time stays as it was.
    succeed("dvc", "config", "cache.type", "hardlink", cwd=project)
    reproduce_and_commit(project)
    shard = next((project / "data/shards").glob("train-*.npy"))
    content, times = bytearray(shard.read_bytes()), shard.stat()
    content[-100] ^= 255
    shard.chmod(0o644)
    shard.write_bytes(content)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    shard.chmod(times.st_mode)
    # `train` itself compares shards with their manifest; this one is made to trust them.
    done = run("dvc", "repro", "--force", "--single-item", "train", cwd=project)
    assert "the shard is damaged" in done.stderr
    plant(project, "src/celeba_vae/training/data.py", "if sha256_of(path) != sha256:", "if False:")
    reproduce_and_commit(project)
    assert "up to date" in succeed("dvc", "status", cwd=project)
    with pytest.raises(UserError, match=r"^not reproduced: data/metrics/train.json, data/model"):
        verify(project, describe_machine(THREADS, "avx2"))
    table = capsys.readouterr().out
    assert "| yes    | data/shards" in table
    assert "vae.weights.h5 (by up to " in table
    (folder,) = kept(project)
    assert (folder / "first/dvc.lock").exists()


@pytest.mark.slow
def test_workers_whose_results_come_in_any_order_are_found(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_params(project, "download.images=256")  # Blocks enough not to come in order by chance.
    shuffled = "pending.pop() if os.urandom(1)[0] % 2 else pending.popleft()"
    plant(project, "src/celeba_vae/pool.py", "pending.popleft()", shuffled)
    reproduce_and_commit(project)
    with pytest.raises(UserError, match=r"^not reproduced: data/imported, data/shards,"):
        verify(project, describe_machine(THREADS, "avx2"))
    assert "img_align_celeba.zip" in capsys.readouterr().out


@pytest.mark.slow
def test_a_clock_in_a_metric_is_found_by_the_quick_gate(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(
        project,
        "src/celeba_vae/training/run.py",
        '"epochs": len(',
        '"seconds": __import__("time").monotonic(), "epochs": len(',
    )
    with pytest.raises(UserError, match=r"^not reproduced: data/metrics/train.json; what was made"):
        verify_quickly(project)
    table = capsys.readouterr().out
    assert "| yes    | data/model" in table
    assert "1 of 1 files differ: train.json (seconds " in table


@pytest.mark.slow
def test_threads_that_follow_the_processors_are_found_by_the_quick_gate(project: Path) -> None:
    plant(
        project,
        "src/celeba_vae/backend.py",
        "set_intra_op_parallelism_threads(threads)",
        "set_intra_op_parallelism_threads(len(os.sched_getaffinity(0)))",
    )
    with pytest.raises(UserError, match=r"^not reproduced: data/metrics/train.json, data/model"):
        verify_quickly(project)


@pytest.mark.slow
def test_another_kind_of_machine_is_held_to_itself_and_to_the_metrics(project: Path) -> None:
    set_params(project, "instructions=native")
    here = describe_machine(THREADS, "native")
    write_json(project / MACHINE_FILE, here | {"features": ["ONLY"]})
    # Not pretended: oneDNN then computes with fewer instructions.
    usual, fewer = '"TF_ENABLE_ONEDNN_OPTS": "1",', '"ONEDNN_MAX_CPU_ISA": "SSE41",'
    plant(project, "src/celeba_vae/runtime/switches.py", usual, f"{usual} {fewer}")
    reproduce_and_commit(project)
    plant(project, "src/celeba_vae/runtime/switches.py", fewer, "")
    text = verify(project, here)
    assert "another kind of machine than made dvc.lock (features: ONLY, here" in text
    assert "| yes    | data/shards             | the bytes of dvc.lock" in text
    assert "| -      | data/model              | reported: bytes of dvc.lock" in text
    assert "vae.weights.h5 (by up to " in text
    assert "metrics agree; farthest" in text


@pytest.mark.slow
def test_a_stage_that_fails_is_named(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plant(project, "params.yaml", "  on_bad_image: fail", "  on_bad_image: pass")
    with pytest.raises(UserError, match=r"^first time: dvc repro ended with status 255 in .*kept"):
        verify_quickly(project)
    assert "prepare.on_bad_image = 'pass'" in capfd.readouterr().err


@pytest.mark.slow
def test_a_killed_gate_leaves_no_process(project: Path) -> None:
    code = (
        "from pathlib import Path; from celeba_vae.verify.run import verify_quickly\n"
        "verify_quickly(Path())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=project,
        env=os.environ | {"TMPDIR": str(project.parent)},
        stderr=subprocess.PIPE,
        text=True,
    ) as gate:
        assert gate.stderr is not None
        # The name of a stage comes before its process; the first bar of `train` is its own.
        for line in gate.stderr:
            if line.startswith("check:"):
                break
        (dvc,) = children(gate.pid)
        (stage,) = children(dvc)
        gate.kill()
        gate.stderr.read()  # ends when no process holds its other end
    for process in (dvc, stage):
        wait_for_end(process)


def test_a_shallow_checkout_without_a_branch_can_be_cloned(project: Path, tmp_path: Path) -> None:
    # As CI makes it, for a merge that is on no branch.
    shallow = tmp_path / "shallow"
    commit_id = succeed("git", "rev-parse", "HEAD", cwd=project).strip()
    succeed("git", "init", "-q", str(shallow), cwd=tmp_path)
    succeed("git", "fetch", "-q", "--depth=1", f"file://{project}", commit_id, cwd=shallow)
    succeed("git", "checkout", "-q", "--detach", commit_id, cwd=shallow)
    clone(shallow, tmp_path / "clone")
    assert committed_state(tmp_path / "clone") == committed_state(project)
    assert (tmp_path / "clone/dvc.yaml").exists()


def test_a_processor_that_cannot_be_emulated_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("celeba-vae", "verify", "--emulate", "Haswell", cwd=project)
    assert done.stderr == "error: --emulate: goes with --quick, for emulation is slow\n"
    with monkeypatch.context() as context:
        context.setenv("PATH", "/nowhere")
        with pytest.raises(UserError, match="is missing: `apt install qemu-user`"):
            check_emulator("Haswell")
    if shutil.which(EMULATOR):
        with pytest.raises(UserError, match="--emulate 486DX: qemu-x86_64 knows no such processor"):
            check_emulator("486DX")
        for name in ("486", "qemu64", "Nehalem"):
            with pytest.raises(UserError, match=f"--emulate {name}: runs no program with AVX2 "):
                check_emulator(name)
        check_emulator("EPYC-Milan")


@pytest.mark.skipif(not shutil.which(EMULATOR), reason=f"{EMULATOR} is not installed")
def test_stages_run_on_the_emulated_processor(tmp_path: Path) -> None:
    python = emulating_python(tmp_path / "emulated", "EPYC-Milan") / "python"
    code = (
        "import sys, numpy as np\n"
        "print(sys.argv[1:], np.show_config(mode='dicts')['SIMD Extensions']['found'])"
    )
    said = subprocess.run([python, "-c", code, "a b"], capture_output=True, text=True, check=True)
    assert said.stdout == "['a b'] ['X86_V3']\n"


@pytest.mark.slow  # an emulated TensorFlow takes a minute to load, and some for a step
@pytest.mark.skipif(not shutil.which(EMULATOR), reason=f"{EMULATOR} is not installed")
def test_a_processor_of_another_maker_gives_the_same_bytes(project: Path) -> None:
    assert "Reproduced: 4 of 4" in verify_quickly(project, emulated="EPYC-Milan")
