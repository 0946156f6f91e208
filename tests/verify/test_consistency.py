"""The gate without a run: each fault that is planted gets its line."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_vae.verify.consistency import (
    check_dependencies,
    check_lock,
    check_params_file,
    check_requirements,
    find_inconsistencies,
    imported_code,
)
from celeba_vae.verify.pages import check_pages
from tests.support import ROOT, copy_project, run

Check = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it stands, without data."""
    return copy_project(tmp_path_factory.mktemp("committed"))


@pytest.fixture
def project(committed: Path, tmp_path: Path) -> Path:
    """A copy of it to plant faults in."""
    shutil.copytree(committed, tmp_path / "project")
    return tmp_path / "project"


def plant(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


MODIFIED = "is modified since then; run `dvc repro`, commit dvc.lock and data/metrics"


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "src/celeba_vae/zpoints/region.py",
            "_COLUMNS = 10",
            "_COLUMNS = 9",
            f"dvc.lock: zpoints: src/celeba_vae/zpoints {MODIFIED}",
        ),
        (
            "params.yaml",
            "  epochs: 10",
            "  epochs: 11",
            f"dvc.lock: train: parameter train {MODIFIED}",
        ),
        (
            "dvc.yaml",
            "python -m stages.download",
            "python -O -m stages.download",
            "dvc.lock: download: changed command since then; run `dvc repro`",
        ),
        (
            "dvc.yaml",
            "    - src/celeba_vae/training\n",
            "",
            "dvc.lock: train: dep src/celeba_vae/training is in dvc.lock only; run `dvc repro`",
        ),
        (
            "data/metrics/train.json",
            '"epochs": 10',
            '"epochs": 11',
            f"dvc.lock: train: data/metrics/train.json {MODIFIED}",
        ),
        (  # What DVC itself does not notice.
            "dvc.yaml",
            "params: [model, train, threads, instructions]",
            "params: [train, threads, instructions]",
            "dvc.lock: train: parameter model is in dvc.lock only; run `dvc repro`",
        ),
    ],
)
def test_a_change_behind_the_lock_is_found(
    project: Path, file: str, old: str, new: str, expected: str
) -> None:
    plant(project / file, old, new)
    assert any(finding.startswith(expected) for finding in check_lock(project))


def test_what_is_committed_has_no_finding(committed: Path) -> None:
    assert find_inconsistencies(committed) == []
    # DVC's own exit status says nothing, though all data are missing.
    assert run("dvc", "status", cwd=committed).returncode == 0


def test_code_that_makes_no_result_is_no_dependency(project: Path) -> None:
    before = check_lock(project)
    for name in (
        "cli/faces.py",
        "face_model.py",
        "params.py",
        "training/__init__.py",
        "verify/run.py",
    ):
        with (project / "src/celeba_vae" / name).open("a") as file:
            file.write("# changed\n")
    assert check_lock(project) == before


def test_a_lock_edited_by_hand_is_found(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    before, _, after = lock.partition("    outs:\n    - path: data/shards\n")
    made = re.search(r"md5: (\w+\.dir)", after)
    assert made
    (project / "dvc.lock").write_text(
        f"{before}    outs:\n    - path: data/shards\n{after.replace(made[1], '00.dir', 1)}"
    )
    assert (
        "dvc.lock: train read another data/shards than prepare made "
        f"({made[1]}, not 00.dir); run `dvc repro`, commit dvc.lock and data/metrics"
    ) in check_lock(project)
    (project / "dvc.lock").unlink()
    assert check_lock(project)[0].startswith("dvc.lock: is missing; run `dvc repro`")


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "stages/generate.py",
            "    from celeba_vae",
            "    from celeba_vae.zpoints import region  # noqa\n    from celeba_vae",
            "dvc.yaml: generate: src/celeba_vae/zpoints/region.py is imported, but not among the "
            "deps",
        ),
        (
            "src/celeba_vae/training/feed.py",
            "\nimport ",
            "\nimport celeba_vae.report.texts\nimport ",
            "dvc.yaml: train: src/celeba_vae/report/texts.py is imported, but not among the deps",
        ),
        (
            "dvc.yaml",
            "    - src/celeba_vae/training\n",
            "    - src/celeba_vae/training/feed.py\n",
            "dvc.yaml: train: src/celeba_vae/training/fit.py is imported, but not among the deps",
        ),
        (
            "dvc.yaml",
            "    - src/celeba_vae/training\n",
            "    - src/celeba_vae/training\n    - src/celeba_vae/report\n",
            "dvc.yaml: train: src/celeba_vae/report is among the deps, but nothing of it is "
            "imported",
        ),
        (  # The report holds the hashes of what other stages import.
            "dvc.yaml",
            "    - src/celeba_vae\n",
            "    - src/celeba_vae/report\n",
            "dvc.yaml: report: src/celeba_vae/training/feed.py is imported, but not among the deps",
        ),
        (
            "stages/prepare.py",
            "=params.prepare",
            "=params.prepare or params.train",
            "dvc.yaml: prepare: parameter train is read, but not declared",
        ),
        (
            "dvc.yaml",
            "params: [prepare]",
            "params: [prepare, model]",
            "dvc.yaml: prepare: parameter model is declared, but not read",
        ),
    ],
)
def test_deps_that_are_not_what_is_imported_are_found(
    project: Path, file: str, old: str, new: str, expected: str
) -> None:
    plant(project / file, old, new)
    assert expected in check_dependencies(project)


def test_what_is_declared_is_what_is_imported() -> None:
    assert check_dependencies(ROOT) == []


def test_every_way_to_import_is_followed(tmp_path: Path) -> None:
    for name, text in {
        "stages/a.py": "import celeba_vae.rooms.one\nfrom celeba_vae.params import Params\n",
        "src/celeba_vae/params.py": "import celeba_vae.rooms.never\n",
        "src/celeba_vae/rooms/__init__.py": '"""A room."""\n',
        "src/celeba_vae/rooms/one.py": "from celeba_vae.rooms import name, two\nimport numpy\n",
        "src/celeba_vae/rooms/two.py": "def late():\n    from celeba_vae.rooms.three import x\n",
        "src/celeba_vae/rooms/three.py": "if True:\n    from stages import b, a as c\n",
        "stages/b.py": "import celeba_vae.rooms.one as again\n",
        "src/celeba_vae/rooms/never.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert imported_code(tmp_path, "stages/a.py") == {
        "stages/a.py",
        "stages/b.py",
        *(f"src/celeba_vae/rooms/{name}.py" for name in ("one", "two", "three")),
    }


@pytest.mark.parametrize(
    ("check", "file", "old", "new", "expected"),
    [
        (check_pages, "README.md", " SSIM, MSE 0.", " SSIM, MSE 1.", "README.md, line N"),
        (
            check_params_file,
            "params.yaml",
            "  filters:\n  - 32\n  - 64\n  - 128\n  - 256\n",
            "  filters: [32, 64, 128, 256]\n",
            "params.yaml, line N: `dvc exp run -S` turns '  filters: [32, 64, 128, 256]' into "
            "'  filters:'; write it so",
        ),
        (
            check_requirements,
            "requirements.lock",
            "\nkeras==",
            "\nkeras==9",
            "requirements.lock: is not what is installed (No matching distribution found for keras",
        ),
        (
            check_requirements,
            "requirements-dev.lock",
            "\nnumpy==",
            "\nnumpy==9",
            "requirements-dev.lock: numpy is not as in requirements.lock; run `make lock`",
        ),
    ],
)
def test_what_else_does_not_fit_is_found(
    project: Path, check: Check, file: str, old: str, new: str, expected: str
) -> None:
    plant(project / file, old, new)
    (finding,) = check(project)
    assert re.sub(r"line \d+", "line N", finding).startswith(expected)


def test_the_command_says_all_and_ends_with_status_1(project: Path) -> None:
    plant(project / "README.md", " SSIM, MSE 0.", " SSIM, MSE 1.")
    done = run("celeba-vae", "verify", "--consistency", cwd=project)
    assert done.returncode == 1
    assert re.search(r"README.md, line \d+: must be '\| reconstructions \|", done.stderr)
    assert "error: inconsistent: " in done.stderr
    done = run("celeba-vae", "verify", "--consistency", "--quick", cwd=project)
    assert done.stderr == "error: --quick and --consistency: give one of them\n"
