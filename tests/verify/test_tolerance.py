import copy
import json
from typing import Any

import pytest

from celeba_vae.verify.compare import Row
from celeba_vae.verify.tolerance import compare_metrics
from tests.support import ROOT


@pytest.fixture
def committed() -> dict[str, Any]:
    """The committed metrics."""
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted((ROOT / "data/metrics").glob("*.json"))
    }


def compare(committed: dict[str, Any], here: dict[str, Any]) -> dict[str, Row]:
    rows = compare_metrics(committed, here, rule="agree")
    return {row.what.removeprefix("data/metrics/").removesuffix(".json"): row for row in rows}


def test_the_same_metrics_agree(committed: dict[str, Any]) -> None:
    rows = compare(committed, copy.deepcopy(committed))
    assert set(rows) == {"attributes", "evaluate", "generate", "train", "zpoints"}
    assert all(row.passed for row in rows.values())


@pytest.mark.parametrize(
    ("file", "place", "factor", "passed"),
    [
        ("train", ("val_loss",), 1.001, True),
        ("train", ("val_loss",), 1.01, False),  # as of another learning rate
        ("train", ("val_kl",), 1.012, True),
        ("train", ("val_kl",), 1.1, False),
        ("train", ("encoder_parameters",), 1 + 1e-6, False),
        ("generate", ("images",), 2, False),
        ("generate", ("ssim_mean",), 1.02, False),
        ("zpoints", ("validation", "std_z_mean"), 0.9, False),
        ("zpoints", ("validation", "chi_mean"), 1.1, False),
        ("attributes", ("auc", "Eyeglasses"), 0.85, False),
        ("evaluate", ("samples", "normal", "swd"), 2, False),
    ],
)
def test_metrics_may_differ_so_far(
    committed: dict[str, Any], file: str, place: tuple[str, ...], factor: float, passed: bool
) -> None:
    here = copy.deepcopy(committed)
    *groups, last = place
    group = here[file]
    for name in groups:
        group = group[name]
    kind = type(group[last])
    group[last] = kind(group[last] * factor)
    row = compare(committed, here).pop(file)
    assert row.passed is passed
    assert (".".join(place) in row.result) or passed


def test_active_dimensions_may_differ_by_a_few(committed: dict[str, Any]) -> None:
    here = copy.deepcopy(committed)
    here["zpoints"]["test"]["active_dimensions"] -= 5
    assert all(row.passed for row in compare(committed, here).values())
    here["zpoints"]["test"]["active_dimensions"] -= 5
    assert not compare(committed, here)["zpoints"].passed


def test_another_choice_is_reported_and_what_it_decides_is_not_judged(
    committed: dict[str, Any],
) -> None:
    here = copy.deepcopy(committed)
    chosen = committed["zpoints"]["samplers"]["best"]
    other = "ellipse" if chosen != "ellipse" else "gaussian"
    here["zpoints"]["samplers"] |= {"best": other, "test_energy_distance": 0.5}
    here["generate"]["sampler"] = other
    here["evaluate"]["samples"][other] = {"swd": 1e6, "temperature": 1.0}
    del here["evaluate"]["samples"][chosen]
    rows = compare(committed, here)
    assert all(row.passed for row in rows.values())
    assert f"sampler {chosen}, here {other}" in rows["generate"].result
    assert "of the sampler chosen otherwise: not compared" in rows["evaluate"].result
    # The distances that decide the choice are judged all the same.
    here["zpoints"]["samplers"]["gaussian_energy_distance"] = 0.5
    assert not compare(committed, here)["zpoints"].passed


def test_a_figure_that_is_missing_or_no_number_fails(committed: dict[str, Any]) -> None:
    here = copy.deepcopy(committed)
    del here["train"]["val_kl"]
    here["generate"]["psnr_db_mean"] = "22"
    here["zpoints"]["seconds"] = 1.0
    rows = compare(committed, here)
    assert [name for name, row in rows.items() if not row.passed] == [
        "generate",
        "train",
        "zpoints",
    ]
