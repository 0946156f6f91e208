import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from celeba_vae.evaluate.compared_samplers import ComparedSampler
from celeba_vae.evaluate.fid import load_reference
from celeba_vae.evaluate.run import evaluate_model
from celeba_vae.latent.samplers import draw_normal
from celeba_vae.metrics.quality import image_quality, summary
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.model.vae import VAE
from celeba_vae.params import EvaluateParams, ModelParams, Params
from celeba_vae.runtime.outs import write_outs
from celeba_vae.shards.read import file_names, open_split
from tests.evaluate.test_inception import write_graph
from tests.support import untrained, write_shards

SAMPLERS = {
    "normal": ComparedSampler(lambda n, seed: draw_normal(n, 6, seed), 1),
    "wide": ComparedSampler(lambda n, seed: 9 * draw_normal(n, 6, seed), 9),
}


def model_of(params: ModelParams) -> Pretrained:
    vae = VAE(params, size=32, seed=1)
    return untrained(vae)


def evaluated(
    model: Pretrained, shards: Path, folder: Path, params: EvaluateParams
) -> dict[str, Any]:
    """Write what the stage leaves into a folder, and return the metrics."""
    result = evaluate_model(
        model,
        {split: open_split(shards, split) for split in ("train", "validation", "test")},
        file_names(shards, "test"),
        SAMPLERS,
        None if params.fid is None else load_reference(shards, Path(params.fid)),
        params,
    )
    write_outs(folder, result.outs)
    return dict(result.metrics)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, random_images: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    splits = {
        "train": random_images[:20],
        "validation": random_images[20:29],
        "test": random_images[29:],
    }
    write_shards(folder, splits)
    return folder


@pytest.fixture
def params(tiny: Params) -> Callable[..., EvaluateParams]:
    def make(**changes: object) -> EvaluateParams:
        return EvaluateParams.model_validate(tiny.evaluate.model_dump() | changes)

    return make


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, shards: Path, tiny: Params
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("evaluation")
    return folder, evaluated(model_of(tiny.model), shards, folder, tiny.evaluate)


def test_reconstructions_are_those_of_all_test_images(
    measured: tuple[Path, dict[str, Any]], tiny: Params, random_images: np.ndarray
) -> None:
    folder, metrics = measured
    model = model_of(tiny.model)
    test = random_images[29:]
    quality = image_quality(test, model.decode(model.encode(test)[0]))
    expected = summary(quality, values=test[0].size)
    assert metrics["reconstruction"].items() >= expected.items()
    rows = list(csv.DictReader((folder / "reconstructions.csv").read_text().splitlines()))
    assert [row["file_name"] for row in rows] == [f"test{row}.jpg" for row in range(11)]
    assert float(rows[0]["mse"]) == pytest.approx(expected["mse_mean"], rel=0.5)
    mean = np.mean([float(row["ms_ssim"]) for row in rows])
    assert mean == pytest.approx(metrics["reconstruction"]["ms_ssim_mean"], rel=1e-4)


def test_bounds_are_those_of_the_table(measured: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = measured
    header, *rows = (folder / "bounds.tsv").read_text().splitlines()
    assert header == "samples\tbits_per_dimension"
    assert [row.split("\t")[0] for row in rows] == ["1", "2", "4"]
    likelihood = metrics["likelihood"]
    assert float(rows[-1].split("\t")[1]) == pytest.approx(
        likelihood["bound_bits_per_dimension"], rel=1e-5
    )
    # An untrained model knows little more than nothing: 8 bits.
    assert 6 < likelihood["bound_bits_per_dimension"] < 9
    assert likelihood["images"] == 3


def test_real_faces_are_nearer_to_real_ones_than_drawn_ones(
    measured: tuple[Path, dict[str, Any]],
) -> None:
    folder, metrics = measured
    samples = metrics["samples"]
    assert samples["images"] == 9
    assert samples["wide"]["temperature"] == 9
    floor = samples["validation"]
    assert floor["swd"] == pytest.approx((floor["swd_32"] + floor["swd_16"]) / 2)
    for name in ("normal", "wide", "reconstructions"):
        assert samples[name]["swd"] > 2 * floor["swd"]
        assert samples[name]["coverage"] < floor["coverage"]
    # All splits show the same four patterns; grey faces are far from them.
    assert floor["memorisation_ratio"] == pytest.approx(1, abs=0.2)
    assert samples["normal"]["memorisation_ratio"] > 2
    assert samples["normal"]["pair_similarity"] > samples["test"]["pair_similarity"]
    table = (folder / "samples.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in table[1:]] == [
        *("test", "validation", "reconstructions", "normal", "wide")
    ]
    assert len({row.count("\t") for row in table}) == 1
    json.dumps(metrics, allow_nan=False)


def test_pictures_show_rows_of_faces(measured: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = measured
    names = ("best_and_worst", "nearest_normal", "nearest_wide")
    assert sorted(path.stem for path in (folder / "plots").iterdir()) == sorted(names)
    for name, rows in zip(names, (4, 6, 6), strict=True):
        with Image.open(folder / f"plots/{name}.png") as picture:
            assert picture.height == rows * 34 - 2 + 25, name
            assert picture.width > 9 * 34


def test_the_same_bytes_again(
    measured: tuple[Path, dict[str, Any]], shards: Path, tiny: Params, tmp_path: Path
) -> None:
    folder, metrics = measured
    again = evaluated(model_of(tiny.model), shards, tmp_path, tiny.evaluate)
    assert again == metrics
    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


def test_a_plain_autoencoder_has_all_but_the_likelihood(
    shards: Path,
    model_params: Callable[..., ModelParams],
    tiny: Params,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = model_of(model_params(variational=False))
    metrics = evaluated(plain, shards, tmp_path, tiny.evaluate)
    assert set(metrics) == {"reconstruction", "samples"}
    assert not (tmp_path / "bounds.tsv").exists()
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "No likelihood: a plain autoencoder has none",
        "No FID: evaluate.fid names no Inception network",
    ]


def test_fid_says_what_it_is_of(
    shards: Path,
    tiny: Params,
    params: Callable[..., EvaluateParams],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    graph = tmp_path / "graph.pb"
    write_graph(graph)
    wanted = params(fid=str(graph))
    fid = evaluated(model_of(tiny.model), shards, tmp_path / "out", wanted)["fid"]
    assert (fid["images"], fid["size"], fid["crop"], fid["filter"]) == (11, 32, 148, "area")
    assert len(fid["reference_sha256"]) == len(fid["network_sha256"]) == 64
    assert fid["normal"] > 0
    printed = capsys.readouterr().out
    for part in (fid["reference_sha256"], "crop 148", "filter area", f"{fid['wide']:.2f}"):
        assert part in printed


def test_copies_of_training_images_are_counted_and_leave_no_ratio(
    tiny: Params, tmp_path: Path, random_images: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    def samples(test: np.ndarray, name: str) -> dict[str, Any]:
        splits = {"train": random_images[:12], "validation": random_images[12:18], "test": test}
        write_shards(tmp_path / name, splits)
        model, out = model_of(tiny.model), tmp_path / f"{name}-out"
        return dict(evaluated(model, tmp_path / name, out, tiny.evaluate)["samples"])

    copied = samples(random_images[:6], "copied")
    # Not the rounding noise of squared distances, which a ratio turns into millions.
    assert copied["test"]["train_distance"] == 0
    assert copied["test"]["copies_of_train"] == 6
    reason = "6 of 6 test images are copies of training images"
    assert copied["not_measured"] == {"memorisation_ratio": reason}
    assert f"No memorisation_ratio: {reason}" in capsys.readouterr().out.splitlines()
    for name in ("validation", "reconstructions", "normal", "wide"):
        assert "memorisation_ratio" not in copied[name]
    header, *rows = (tmp_path / "copied-out/samples.tsv").read_text().splitlines()
    assert header.endswith("train_distance\ttemperature\tcopies_of_train")
    assert {row.count("\t") for row in rows} == {header.count("\t")}

    # With fewer copies than other images the median is that of the others.
    some = samples(np.concatenate([random_images[:2], random_images[18:22]]), "some")
    assert some["test"]["copies_of_train"] == 2
    assert some["validation"]["memorisation_ratio"] == pytest.approx(1, abs=0.2)
    assert "not_measured" not in some
    assert "2 of 6 test images are copies of training images" in capsys.readouterr().out


def test_what_needs_more_images_is_left_out_with_the_reason(
    shards: Path,
    tiny: Params,
    params: Callable[..., EvaluateParams],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    samples = evaluated(model_of(tiny.model), shards, tmp_path, params(neighbours=9))["samples"]
    scores = ("precision", "recall", "density", "coverage")
    reason = "evaluate.neighbours = 9 needs more than the 9 images there are"
    assert samples["not_measured"] == dict.fromkeys(scores, reason)
    assert f"No precision, recall, density, coverage: {reason}" in capsys.readouterr().out
    for name in ("validation", "reconstructions", "normal", "wide"):
        assert not set(scores) & set(samples[name])
        assert samples[name]["memorisation_ratio"] > 0
