import csv
import json
from pathlib import Path

import numpy as np
import pytest

from celeba_vae.files import write_json
from celeba_vae.latent.report import write_zpoint_report

Split = tuple[np.ndarray, np.ndarray, np.ndarray]


def _posterior(images: int, z_dim: int, active: int, seed: int) -> Split:
    """Return an ideal aggregate posterior whose last dimensions are collapsed."""
    rng = np.random.default_rng(seed)
    deviation = np.linspace(0.9, 0.5, z_dim)
    deviation[active:] = 0
    mu = rng.standard_normal((images, z_dim)) * deviation
    log_var = np.broadcast_to(np.log(1 - deviation**2), mu.shape)
    z = mu + rng.standard_normal(mu.shape) * np.exp(log_var / 2)
    return mu.astype(np.float32), log_var.astype(np.float32), z.astype(np.float32)


def _splits(z_dim: int = 20, active: int = 14) -> dict[str, Split]:
    return {
        "train": _posterior(2000, z_dim, active, seed=1),
        "validation": _posterior(200, z_dim, active, seed=2),
        "test": _posterior(150, z_dim, active, seed=3),
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_report_writes_tables_plots_and_metrics(tmp_path: Path) -> None:
    metrics = write_zpoint_report(tmp_path, _splits(), active_variance=0.01)
    assert sorted(_content(tmp_path)) == [
        "components.tsv",
        "dimensions.tsv",
        "eigenvalues.tsv",
        "plots/components.png",
        "plots/dimensions.png",
        "plots/eigenvalues.png",
        "plots/plane.png",
        "plots/radius.png",
        "radius.tsv",
    ]

    assert {name: split["images"] for name, split in metrics.items()} == {
        "train": 2000,
        "validation": 200,
        "test": 150,
    }
    train = metrics["train"]
    assert train["active_dimensions"] == 14
    assert train["z_radius_mean"] == pytest.approx(train["chi_mean"], abs=0.06)

    dimensions = _rows(tmp_path / "dimensions.tsv")
    assert len(dimensions) == 20
    assert [row["active"] for row in dimensions] == ["1"] * 14 + ["0"] * 6
    assert sum(float(row["kl"]) for row in dimensions) == pytest.approx(
        train["kl_nats_per_image"], rel=1e-5
    )

    radius = _rows(tmp_path / "radius.tsv")
    assert list(radius[0]) == ["radius", "train", "validation", "test", "chi"]
    components = _rows(tmp_path / "components.tsv")
    assert list(components[0]) == ["z", *(f"component_{i}" for i in range(1, 13)), "normal"]
    eigenvalues = [float(row["eigenvalue"]) for row in _rows(tmp_path / "eigenvalues.tsv")]
    assert eigenvalues == sorted(eigenvalues, reverse=True)
    assert eigenvalues[0] == pytest.approx(train["eigenvalue_max"], rel=1e-5)

    write_json(tmp_path / "zpoints.json", metrics)
    assert json.loads((tmp_path / "zpoints.json").read_text())["test"]["z_dim"] == 20


def test_report_has_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert write_zpoint_report(first, _splits(), active_variance=0.01) == write_zpoint_report(
        second, _splits(), active_variance=0.01
    )
    assert _content(first) == _content(second)


@pytest.mark.parametrize("z_dim", [1, 2, 5])
def test_small_latent_spaces_have_a_report(tmp_path: Path, z_dim: int) -> None:
    metrics = write_zpoint_report(tmp_path, _splits(z_dim, active=z_dim), active_variance=0.01)
    assert metrics["train"]["z_dim"] == z_dim
    assert (tmp_path / "plots/plane.png").exists() == (z_dim > 1)
    assert f"component_{z_dim}" in _rows(tmp_path / "components.tsv")[0]


def test_the_plain_autoencoder_has_a_report_without_kl(tmp_path: Path) -> None:
    splits = {name: (mu, None, mu) for name, (mu, _, _) in _splits().items()}
    metrics = write_zpoint_report(tmp_path / "plain", splits, active_variance=0.01)
    variational = write_zpoint_report(tmp_path / "vae", _splits(), active_variance=0.01)
    for name, split in metrics.items():
        lacking = set(variational[name]) - set(split)
        assert lacking == {"kl_nats_per_image", "posterior_variance_mean"}
        assert split["std_z_mean"] == split["std_mu_mean"]
    rows = _rows(tmp_path / "plain/dimensions.tsv")
    complete = _rows(tmp_path / "vae/dimensions.tsv")
    assert set(complete[0]) - set(rows[0]) == {"kl", "posterior_variance"}
    assert set(_content(tmp_path / "plain")) == set(_content(tmp_path / "vae"))


def test_a_split_of_one_image_has_a_report_that_json_can_hold(tmp_path: Path) -> None:
    splits = {name: (mu[:1], lv[:1], z[:1]) for name, (mu, lv, z) in _splits().items()}
    metrics = write_zpoint_report(tmp_path, splits, active_variance=0.01)
    assert metrics["train"]["condition_number"] is None
    write_json(tmp_path / "zpoints.json", metrics)
