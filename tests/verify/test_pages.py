"""Values on pages: what the templates in their comments give."""

import json
import re
import sys
from pathlib import Path

import pytest

from celeba_vae.verify.pages import check_pages, write_values
from tests.support import ROOT, run, succeed

PAGE = """# Results

<!-- values
| images | {run[images]:,} |
| loss | {run[parts][0][loss]:.1f} |
-->
| images | 1,000 |
| loss | 2.5 |

<!-- values
Measured on {speed[machine]}.
-->

Measured on two cores.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in {
        "data/metrics/run.json": json.dumps({"images": 1000, "parts": [{"loss": 2.46}]}),
        "docs/values/speed.json": json.dumps({"machine": "two cores"}),
        "docs/results/speed.md": PAGE,
        "README.md": "No values.\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_pages_that_say_what_the_files_say_have_no_finding(project: Path) -> None:
    assert check_pages(project) == []
    assert check_pages(ROOT) == []


def test_the_readme_states_the_committed_run() -> None:
    stated = {key for key, _ in re.findall(r"\{(\w+(\[\w+\])+)", (ROOT / "README.md").read_text())}
    assert stated >= {
        "generate[images]",
        "train[val_reconstruction]",
        "train[val_kl]",
        "generate[psnr_db_mean]",
        "generate[ssim_mean]",
        "generate[mse_mean]",
        "zpoints[validation][z_radius_mean]",
        "zpoints[validation][z_radius_std]",
        "zpoints[validation][z_dim]",
        "zpoints[validation][chi_mean]",
        "zpoints[validation][chi_std]",
        "zpoints[validation][std_z_mean]",
    }


@pytest.mark.parametrize("page", ["README.md", "docs/results/speed.md"])
def test_another_value_is_found_and_can_be_written(project: Path, page: str) -> None:
    (project / page).write_text(PAGE.replace("2.5 |", "2.4 |").replace("on two", "on three"))
    assert check_pages(project) == [
        f"{page}, line 8: must be '| loss | 2.5 |'; `make values` writes it",
        f"{page}, line 14: must be 'Measured on two cores.'; `make values` writes it",
    ]
    write_values(project)
    assert (project / page).read_text() == PAGE


def test_metrics_of_a_run_elsewhere_are_no_fault_of_the_pages(project: Path) -> None:
    for words in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "a run"),
    ):
        succeed("git", *words, cwd=project)
    own = {"images": 1000, "parts": [{"loss": 2.61}]}
    (project / "data/metrics/run.json").write_text(json.dumps(own))
    assert check_pages(project) == []
    # Pages that state neither are wrong by what lies there, and those of a new run are right.
    page = project / "docs/results/speed.md"
    page.write_text(PAGE.replace("2.5 |", "2.4 |"))
    assert len(check_pages(project)) == 1
    write_values(project)
    assert "| loss | 2.6 |" in page.read_text()
    assert check_pages(project) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("run[images]", "run[pictures]", "(KeyError: 'pictures')"),
        ("run[images]", "ran[images]", "(KeyError: 'ran')"),
        ("[0]", "[1]", "(IndexError: list index out of range)"),
        (":,", ":q", "(ValueError: Unknown format code 'q' for object of type 'int')"),
    ],
)
def test_a_value_that_no_file_has_is_found(
    project: Path, old: str, new: str, expected: str
) -> None:
    (project / "README.md").write_text(PAGE.replace(old, new))
    (finding,) = check_pages(project)
    assert finding.startswith("README.md: data/metrics and docs/values do not have what it states")
    assert expected in finding
    done = run(
        sys.executable,
        "-m",
        "celeba_vae.verify.pages",
        cwd=project,
        env={"PYTHONPATH": str(ROOT / "src")},
    )
    assert (done.returncode, done.stderr) == (1, f"error: {finding}\n")
