"""Statistics, tables and plots of ideal posteriors."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeba_vae.latent.cloud import Cloud
from celeba_vae.params import ZpointsParams
from celeba_vae.runtime.files import write_json
from celeba_vae.runtime.outs import write_outs
from celeba_vae.zpoints.describe import Described, describe_splits, metrics_of
from celeba_vae.zpoints.encode import Encoded
from celeba_vae.zpoints.pictures import plot_zpoints
from celeba_vae.zpoints.tables import as_table, curves, table_of_dimensions

QUICK = ZpointsParams(seed=1, active_variance=0.01, tests="quick")
FULL = ZpointsParams(seed=1, active_variance=0.01, tests="full")

OF_ALL = {"components.png", "dimensions.png", "eigenvalues.png", "normality.png", "radius.png"}
OF_PLANES = {"planes.png", "principal.png", "attributes.png"}


def _posterior(images: int, z_dim: int, active: int, seed: int) -> Encoded:
    """Return an ideal aggregate posterior whose last dimensions are collapsed."""
    rng = np.random.default_rng(seed)
    deviation = np.linspace(0.9, 0.5, z_dim)
    deviation[active:] = 0
    mu = rng.standard_normal((images, z_dim)) * deviation
    log_var = np.broadcast_to(np.log(1 - deviation**2), mu.shape)
    z = mu + rng.standard_normal(mu.shape) * np.exp(log_var / 2)
    return Encoded(
        Cloud(mu.astype(np.float32)), log_var.astype(np.float32), Cloud(z.astype(np.float32))
    )


def _splits(z_dim: int = 20, active: int = 14) -> dict[str, Encoded]:
    return {
        "train": _posterior(600, z_dim, active, seed=1),
        "validation": _posterior(200, z_dim, active, seed=2),
        "test": _posterior(150, z_dim, active, seed=3),
    }


def _first(split: Encoded, count: int) -> Encoded:
    log_var = np.asarray(split.log_var)[:count]
    return Encoded(Cloud(split.mu.points[:count]), log_var, Cloud(split.z.points[:count]))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _written(
    folder: Path,
    splits: Mapping[str, Encoded],
    params: ZpointsParams = QUICK,
    attributes: tuple[str, ...] = ("Male", "Young"),
) -> dict[str, dict[str, Any]]:
    described = describe_splits(splits, params=params)
    columns = curves(splits, described)
    # The first is had by some, the others by all.
    has = splits["train"].mu.points[:, :1] > np.array([0.0, -np.inf])
    known = dict(zip(attributes, has.T, strict=False))
    plots = plot_zpoints(splits, described, columns, known, params=params)
    write_outs(folder, {"zpoints.csv": table_of_dimensions(described)})
    write_outs(folder, {f"{name}.tsv": as_table(each) for name, each in columns.items()})
    write_outs(folder / "plots", {f"{name}.png": picture for name, picture in plots.items()})
    return _values(described)


def _values(described: Mapping[str, Described]) -> dict[str, dict[str, Any]]:
    return {name: split.values for name, split in described.items()}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder with everything, and its values."""
    folder = tmp_path_factory.mktemp("full")
    return folder, _written(folder, _splits(), FULL)


def test_values_of_an_ideal_posterior() -> None:
    described = describe_splits(_splits(), params=QUICK)
    values = _values(described)
    assert [values[name]["images"] for name in values] == [600, 200, 150]
    train = values["train"]
    assert train["active_dimensions"] == 14
    kl = described["train"].dimensions["kl"]
    assert train["informative_dimensions"] == (kl > 0.1).sum() == 14
    assert train["z"]["radius"]["mean"] == pytest.approx(train["z"]["radius"]["chi_mean"], abs=0.06)
    assert described["train"].dimensions["kl"].sum() == pytest.approx(train["kl_nats_per_image"])
    # The aggregate posterior is N(0, I): all of the rate tells the images apart, or would with
    # more of them.
    assert train["rate"]["dimension_wise_kl"] == pytest.approx(0, abs=0.3)
    for split in values.values():
        z = split["z"]
        assert z["energy"]["energy_distance"] == pytest.approx(0, abs=0.03)
        mahalanobis = z["mahalanobis"]
        assert mahalanobis["mean"] == pytest.approx(mahalanobis["expected_mean"], rel=0.06)
        assert z["dimensions"]["ks_distance_mean"] == pytest.approx(
            z["dimensions"]["ks_distance_expected"], rel=0.25
        )
        # Collapsed dimensions make mu flat: no distance from its centre is defined.
        assert "mahalanobis" not in split["mu"]
        assert "normality" not in split


Full = tuple[Path, dict[str, dict[str, Any]]]


def test_full_adds_tests_and_changes_nothing_else(full: Full) -> None:
    quick = _values(describe_splits(_splits(), params=QUICK))
    for name, split in full[1].items():
        tests = split["normality"]
        assert tests["points"] == split["images"]
        assert abs(tests["mardia"]["kurtosis_z"]) < 4
        assert tests["henze_zirkler"]["p_value"] > 1e-3
        accuracy = tests["classifier_two_sample"]
        assert abs(accuracy["accuracy"] - 0.5) < 4 * accuracy["accuracy_std"]
        assert split == quick[name] | {"normality": tests}


def test_tables_and_plots_are_written(full: Full) -> None:
    folder, values = full
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "components.tsv",
        "eigenvalues.tsv",
        "radius.tsv",
        "zpoints.csv",
    }
    pictures = {path.name for path in (folder / "plots").iterdir()}
    assert pictures == OF_ALL | OF_PLANES | {"mahalanobis.png", "rate.png", "tsne.png"}

    dimensions = _rows(folder / "zpoints.csv")
    assert len(dimensions) == 3 * 20
    train = [row for row in dimensions if row["split"] == "train"]
    assert [row["active"] for row in train] == ["1"] * 14 + ["0"] * 6
    total = values["train"]["kl_nats_per_image"]
    assert sum(float(row["kl"]) for row in train) == pytest.approx(total, rel=1e-4)
    assert float(train[19]["mu_std"]) == 0

    radius = _rows(folder / "radius.tsv")
    assert list(radius[0]) == ["radius", "train", "validation", "test", "chi"]
    components = _rows(folder / "components.tsv")
    assert list(components[0]) == ["z", *(f"component_{i}" for i in range(1, 13)), "normal"]
    eigenvalues = [float(row["z"]) for row in _rows(folder / "eigenvalues.tsv")]
    assert eigenvalues == sorted(eigenvalues, reverse=True)
    largest = values["train"]["z"]["shape"]["eigenvalue_max"]
    assert eigenvalues[0] == pytest.approx(largest, rel=1e-5)


def test_the_same_bytes_again(full: Full, tmp_path: Path) -> None:
    folder, values = full
    assert _written(tmp_path, _splits(), FULL) == values
    assert _content(tmp_path) == _content(folder)


def test_a_plain_autoencoder_has_no_values_of_kl(tmp_path: Path) -> None:
    plain = {name: Encoded(each.z, None, each.z) for name, each in _splits().items()}
    values = _written(tmp_path, plain, attributes=())
    lacking = {"informative_dimensions", "kl_nats_per_image", "posterior_variance_mean", "rate"}
    variational = _values(describe_splits(_splits(), params=QUICK))
    for name, split in values.items():
        assert set(variational[name]) - set(split) == lacking
        assert split["mu"] == split["z"]
    pictures = {path.name for path in (tmp_path / "plots").iterdir()}
    # Nor, here, any of attributes.
    assert pictures == OF_ALL | OF_PLANES - {"attributes.png"} | {"mahalanobis.png"}
    assert not {"kl", "posterior_variance"} & set(_rows(tmp_path / "zpoints.csv")[0])
    metrics = metrics_of(describe_splits(plain, params=QUICK))["train"]
    assert "kl_nats_per_image" not in metrics
    assert metrics["z_radius_mean"] == metrics["mu_radius_mean"] > 0


@pytest.mark.parametrize("z_dim", [1, 2])
def test_small_latent_spaces_have_a_report(tmp_path: Path, z_dim: int) -> None:
    values = _written(tmp_path, _splits(z_dim, active=z_dim))
    assert values["train"]["z_dim"] == z_dim
    pictures = {path.name for path in (tmp_path / "plots").iterdir()}
    assert (pictures >= OF_PLANES) == (z_dim > 1)
    assert f"component_{z_dim}" in _rows(tmp_path / "components.tsv")[0]


def test_fewer_images_than_dimensions_have_what_can_be_said(tmp_path: Path) -> None:
    splits = {name: _first(each, 9) for name, each in _splits().items()}
    values = _written(tmp_path, splits, FULL)
    for split in values.values():
        assert "mahalanobis" not in split["z"]
        assert "normality" not in split
        assert split["z"]["shape"]["condition_number"] is None
    assert "mahalanobis.png" not in _content(tmp_path)
    write_json(tmp_path / "zpoints.json", values)


def test_a_split_of_one_image_has_values_that_json_can_hold(tmp_path: Path) -> None:
    splits = {name: _first(each, 1) for name, each in _splits().items()}
    described = describe_splits(splits, params=QUICK)
    values = _values(described)
    write_outs(tmp_path, {"zpoints.csv": table_of_dimensions(described)})
    columns = curves(splits, described)
    write_outs(tmp_path, {f"{name}.tsv": as_table(each) for name, each in columns.items()})
    assert values["test"]["z"]["shape"]["condition_number"] is None
    write_json(tmp_path / "zpoints.json", values)
