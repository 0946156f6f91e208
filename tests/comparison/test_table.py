import json
import math
from typing import Any

import pytest

from celeba_vae.comparison.runs import Run
from celeba_vae.comparison.table import Figure, as_json, as_markdown, as_text, compare_runs

SETTINGS = {"model.filters": [4, 8], "model.inter_dense": None, "train.seed": 1}


def made(name: str, psnr: float, *, encoder: int = 5_109_440, **changes: Any) -> Run:
    """A run with some parameters, in which `__` stands for a dot."""
    parameters = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    inputs = {"code": parameters.pop("code", "c0de"), "images": "fa7e"}
    return Run(name, parameters, {"encoder": encoder, "psnr": psnr}, inputs, {})


def test_parameters_that_differ_and_differences_from_the_first_run() -> None:
    first = made("baseline", 22.17)
    dense = made("dense", 22.0, encoder=2_881_472, model__inter_dense=256)
    compared = compare_runs([first, dense])
    assert compared.parameters == {"model.inter_dense": [None, 256]}
    assert compared.figures["encoder"][1].difference == -2_227_968
    text = as_text(compared)
    assert text.startswith(
        "parameter          baseline  dense\n"
        "model.inter_dense  none      256\n"
        "\n"
        "metric    baseline      dense  difference\n"
        "encoder  5,109,440  2,881,472  -2,227,968\n"
        "psnr         22.17      22.00       -0.17  dB; higher is better\n"
    )
    # One run each says nothing of chance.
    assert "One seed each" in text
    assert "±" not in text
    markdown = as_markdown(compared).splitlines()
    assert "| psnr | 22.17 | 22.00 | -0.17 | dB; higher is better |" in markdown
    assert "| model.inter_dense | none | 256 |" in markdown


def test_runs_that_differ_in_the_seed_alone_are_one_group_with_a_spread() -> None:
    runs = [
        *(made(f"a{seed}", psnr, train__seed=seed) for seed, psnr in ((1, 20), (2, 22), (3, 24))),
        made("b1", 25, encoder=7, model__inter_dense=8),
        made("b2", 27, encoder=7, model__inter_dense=8, train__seed=2),
    ]
    # Mixed up: groups keep the order of their first runs.
    compared = compare_runs([runs[0], runs[3], runs[1], runs[4], runs[2]])
    assert [[run.name for run in group] for group in compared.groups] == [
        ["a1", "a2", "a3"],
        ["b1", "b2"],
    ]
    first, second = compared.figures["psnr"]
    assert first == Figure(22, 2, None, None)
    # Pooled variance of both: (2 * 4 + 1 * 2) / 3.
    error = math.sqrt(10 / 3 * (1 / 3 + 1 / 2))
    assert (second.mean, second.difference) == (26, 4)
    assert second.deviation == pytest.approx(math.sqrt(2))
    assert second.error == pytest.approx(error)
    text = as_text(compared)
    assert "a1 (3 seeds): a1 (1), a2 (2), a3 (3)" in text
    assert "22.00 ± 2.00" in text
    assert f"+4.00 ± {error:.2f}" in text
    # All runs have as many weights: a spread of 0 is not worth showing.
    assert "±" not in next(line for line in text.splitlines() if line.startswith("encoder"))
    assert "One seed each" not in text


def test_a_single_run_beside_several_seeds_borrows_their_spread() -> None:
    runs = [made("a", 20), made("b", 22, train__seed=2), made("c", 30, model__inter_dense=8)]
    figure = compare_runs(runs).figures["psnr"][1]
    assert figure.deviation is None
    assert figure.error == pytest.approx(math.sqrt(2 * (1 / 2 + 1)))


def test_equal_parameters_and_seeds_are_no_group() -> None:
    # Made on another machine, or of another code.
    compared = compare_runs([made("HEAD~1", 20), made("workspace", 21)])
    assert len(compared.groups) == 2
    assert compared.parameters == {}
    assert as_text(compared).startswith("No parameter differs, nor do code and images.\n\nmetric  ")
    other = made("workspace", 21, code="ba5e", train__seed=2)
    assert compare_runs([made("HEAD~1", 20), other]).parameters == {"code": ["c0de", "ba5e"]}
    alone = as_markdown(compare_runs([other]))
    assert alone.startswith("### Key metrics")


def test_what_a_run_has_not_is_left_open() -> None:
    plain = Run("plain", {"model.variational": False, "train.seed": 1}, {"psnr": 21.0}, {}, {})
    vae = Run("vae", {"train.seed": 1}, {"psnr": 20.0, "kl": 17.9}, {}, {})
    lines = as_text(compare_runs([vae, plain])).splitlines()
    assert ["model.variational", "-", "false"] in [line.split() for line in lines]
    assert ["kl", "17.900", "-", "-", "nats", "per", "image"] in [line.split() for line in lines]
    assert not any(line.startswith("swd") for line in lines)


def test_json_has_every_run_and_every_value() -> None:
    runs = [made("a", 20.0), made("b", 21.0, train__seed=2), made("c", 1e9 / 3, model__z_dim=2)]
    first, second = json.loads(as_json(compare_runs(runs)))["groups"]
    assert (first["runs"], first["seeds"]) == (["a", "b"], [1, 2])
    assert first["metrics"]["psnr"]["values"] == [20.0, 21.0]
    assert first["metrics"]["psnr"]["deviation"] == pytest.approx(0.707107)
    assert first["metrics"]["psnr"]["difference"] is None
    assert second["parameters"] == {"model.z_dim": 2}
    assert second["metrics"]["psnr"]["mean"] == 333333333.3
    # Whole numbers stay whole.
    assert first["metrics"]["encoder"]["mean"] == 5_109_440
