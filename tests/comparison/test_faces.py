import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from celeba_vae.comparison.faces import compare_faces
from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.latent.samplers import sampler_arrays
from celeba_vae.model.pretrained import load
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_arrays
from tests.support import save_model

RunMaker = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, model_params: Callable[..., ModelParams]) -> RunMaker:
    def make(name: str, *, z_dim: int = 6, size: int = 32) -> Path:
        folder, params = tmp_path / name / "data", model_params(z_dim=z_dim)
        vae = VAE(params, size=size, seed=1)
        save_model(vae, params, folder / "model")
        z = Cloud(3 * np.random.default_rng(1).normal(size=(50, z_dim)).astype(np.float32))
        fitted, _ = fit_samplers({"train": z, "validation": z, "test": z}, seed=1)
        (folder / "zpoints").mkdir()
        write_arrays(folder / "zpoints/samplers.npz", sampler_arrays(fitted))
        (folder / "metrics").mkdir()
        values = {"train": {"chi_mean": 2.4, "z_radius_mean": 7.3}}
        (folder / "metrics/zpoints.json").write_text(json.dumps(values))
        return tmp_path / name

    return make


def test_each_run_has_faces_from_the_prior_and_from_its_own_z_points(make_run: RunMaker) -> None:
    run = make_run("a")
    faces, labels = compare_faces({"a": run}, columns=3, seed=7)
    model = load(run / "data/model")
    normal = np.random.Generator(np.random.Philox(key=7)).standard_normal((3, 6))
    with np.load(run / "data/zpoints/samplers.npz") as fitted:
        own = fitted["gaussian_mean"] + normal @ fitted["gaussian_root"]
    assert np.array_equal(faces, np.concatenate([model.decode(normal), model.decode(own)]))
    assert [label.partition(" (")[0] for label in labels] == ["a, from N(0, I)", "a, from its z"]


def test_runs_of_different_z_dim_fit_into_one_picture(make_run: RunMaker) -> None:
    runs = {"six": make_run("a"), "four": make_run("b", z_dim=4)}
    faces, labels = compare_faces(runs, columns=2, seed=1)
    assert (len(faces), len(labels)) == (8, 4)


def test_what_cannot_be_compared_is_named(make_run: RunMaker) -> None:
    first, second = make_run("a"), make_run("b", size=64)
    with pytest.raises(UserError, match=r"b draws faces of 64 pixels, the first run of 32"):
        compare_faces({"a": first, "b": second}, columns=2, seed=1)
    (second / "data/metrics/zpoints.json").write_text("{}")
    with pytest.raises(UserError, match=r"zpoints\.json: holds no values"):
        compare_faces({"b": second}, columns=2, seed=1)
