import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest
from PIL import Image

import celeba_vae
from celeba_vae import FaceModel, UserError
from celeba_vae.face_model import Photos
from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.directions import DIRECTIONS_FILE, direction_arrays
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.latent.samplers import SAMPLERS_FILE, sampler_arrays
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, Params
from celeba_vae.runtime.arrays import Pixels
from celeba_vae.runtime.files import write_arrays
from celeba_vae.shards.transform import to_square
from tests.support import ROOT, save_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, tiny: Params) -> Path:
    """A folder with an untrained model, and what later stages leave beside it."""
    data = tmp_path_factory.mktemp("face_model") / "data"
    save_model(VAE(tiny.model, size=32, seed=1), tiny.model, data / "model", crop=148)
    clouds = 1 + 2 * np.random.default_rng(0).normal(size=(3, 50, 6))
    splits = dict(zip(("train", "validation", "test"), map(Cloud, clouds), strict=True))
    fitted, _ = fit_samplers(splits, seed=1)
    write_arrays(data / "zpoints" / SAMPLERS_FILE, sampler_arrays(fitted))
    steps = {"Smiling": np.arange(6.0), "5_o_Clock_Shadow": np.eye(6)[2]}
    aucs = {"Smiling": 0.7, "5_o_Clock_Shadow": 0.9}
    write_arrays(data / "attributes" / DIRECTIONS_FILE, direction_arrays(steps, aucs, z_dim=6))
    for name, colour in (("b.png", "blue"), ("a.jpg", "red")):
        (data / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (178, 218), colour).save(data / "photos" / name)
    return data


@pytest.fixture(scope="module")
def model(data: Path) -> FaceModel:
    loaded = celeba_vae.load(data / "model")
    assert_type(loaded, FaceModel)
    return loaded


def test_the_package_names_what_there_is() -> None:
    code = (
        "import sys, celeba_vae\n"
        "print(dir(celeba_vae), celeba_vae.__version__, celeba_vae.UserError.__name__)\n"
        "assert not {'numpy', 'pydantic', 'tensorflow'} & {*sys.modules}\n"
        "from celeba_vae import *\n"
        "assert not {'tensorflow', 'keras'} & {*sys.modules}\n"
        "print(load.__module__, FaceModel.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    version = next(
        line.partition('"')[2].rstrip('"')
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version")
    )
    assert done.stdout.splitlines() == [
        f"['FaceModel', 'UserError', '__version__', 'load'] {version} UserError",
        "celeba_vae.face_model FaceModel",
    ]
    assert (ROOT / "src/celeba_vae/py.typed").read_text() == ""
    with pytest.raises(AttributeError, match="has no attribute 'lead'"):
        _ = celeba_vae.lead  # type: ignore[attr-defined]


def test_photos_are_read_as_the_training_images_were(data: Path, model: FaceModel) -> None:
    a, b = data / "photos/a.jpg", data / "photos/b.png"
    one = model.read(str(a))
    assert one.dtype == np.uint8
    assert one.shape == (1, 32, 32, 3)
    assert np.array_equal(one[0], to_square(a.read_bytes(), size=32, crop=148, filter="area"))
    several: list[Photos] = [[b, a], [str(b), a], (path for path in (b, a))]
    for photos in several:
        assert np.array_equal(model.read(photos)[1:], one)
    # Of a folder by name.
    assert np.array_equal(model.read(data / "photos"), model.read([a, b]))


def test_the_same_seed_generates_the_same_faces(model: FaceModel) -> None:
    faces = model.generate(5)
    assert faces.dtype == np.uint8
    assert faces.shape == (5, 32, 32, 3)
    assert np.array_equal(model.generate(3, seed=1), faces[:3])
    assert model.generate(0).shape == (0, 32, 32, 3)
    z = np.random.Generator(np.random.Philox(key=7)).standard_normal((2, 6))
    normal = model.generate(2, 7, "normal", 0.5)
    assert np.array_equal(normal, model.decode(0.5 * z))
    for seed in (1.5, None):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            model.generate(1, seed=seed)  # type: ignore[arg-type]
    sampler, temperature = model.samplers().chosen(None, None)
    assert np.array_equal(model.generate(5, 1, sampler, temperature), faces)


def test_walks_begin_and_end_at_the_reconstructions(
    model: FaceModel, random_images: Pixels
) -> None:
    a, b = random_images[:2], random_images[2:4]
    walks = model.interpolate(a, b, steps=3)
    assert walks.dtype == np.uint8
    assert walks.shape == (2, 3, 32, 32, 3)
    middle = (model.encode(a)[0] + model.encode(b)[0]) / 2
    for step, expected in enumerate(
        (model.reconstruct(a), model.decode(middle), model.reconstruct(b))
    ):
        assert np.abs(walks[:, step].astype(int) - expected).max() <= 1


def test_edits_move_the_latent_codes(model: FaceModel, random_images: Pixels) -> None:
    images = random_images[:3]
    mu, _ = model.encode(images)
    edited = model.edit(images, Smiling=2, **{"5_o_Clock_Shadow": -1.0})
    assert np.array_equal(edited, model.decode(mu + 2 * np.arange(6.0) - np.eye(6)[2]))
    assert model.attributes == {"5_o_Clock_Shadow": 0.9, "Smiling": 0.7}
    assert [*model.attributes] == ["5_o_Clock_Shadow", "Smiling"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda m, x: m.encode("photo.jpg"), r"uint8 of shape \(n, 32, 32, 3\), not <U9 \(\)"),
        (lambda m, x: m.reconstruct(list(x / 255)), r"not float64 \(4, 32, 32, 3\)"),
        (lambda m, x: m.decode([1.0, 2.0]), r"z must have the shape \(n, 6\), not \(2,\)"),
        (lambda m, x: m.interpolate(x, x[:1]), "4 and 1 images, 8 steps: give pairs, 2 or more"),
        (lambda m, x: m.interpolate(x, x, steps=1), "4 and 4 images, 1 steps: give pairs"),
        (lambda m, x: m.generate(2, sampler="mine"), "must be one of normal, gaussian, gmm, ell"),
        (lambda m, x: m.generate(2, temperature=np.nan), "a finite number above 0, not nan"),
        (lambda m, x: m.generate(2, temperature=0), "a finite number above 0, not 0"),
        (
            lambda m, x: m.generate(-1),
            "n must be 0 or more and seed from 0 to 2..128 - 1, not -1 an",
        ),
        (lambda m, x: m.generate(1, seed=2**128), "seed from 0 to 2..128 - 1, not 1 and 3402823"),
        (lambda m, x: m.edit(x), "name an attribute to change, such as Eyeglasses=2"),
    ],
)
def test_wrong_values_are_refused(
    model: FaceModel,
    random_images: Pixels,
    call: Callable[[FaceModel, Pixels], Any],
    expected: str,
) -> None:
    with pytest.raises(ValueError, match=expected):
        call(model, random_images[:4])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda m, x: m.read("nobody.jpg"), "^nobody.jpg: no such file$"),
        (lambda m, x: m.read("x" * 300), "^x+: File name too long$"),
        (lambda m, x: m.read(m.folder), "data/model: this folder holds no images$"),
        (lambda m, x: m.read(m.folder / "architecture.json"), "cannot be read as an image: is non"),
        (lambda m, x: m.edit(x, Smile=1), "attribute Smile: .* did you mean Smiling"),
        (lambda m, x: m.edit(x, Smiling=np.nan), "the Decoder gives NaN or infinity"),
    ],
)
def test_what_a_user_can_mend_is_a_user_error(
    model: FaceModel,
    random_images: Pixels,
    call: Callable[[FaceModel, Pixels], Any],
    expected: str,
) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        call(model, random_images[:4])
    assert "\n" not in str(caught.value)


def test_a_model_alone_says_what_is_missing_beside_it(
    tmp_path: Path,
    model_params: Callable[..., ModelParams],
    random_images: Pixels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = model_params()
    save_model(VAE(params, size=32, seed=1), params, tmp_path / "runs/model")
    monkeypatch.chdir(tmp_path / "runs/model")
    model = celeba_vae.load(".")
    with pytest.raises(UserError, match=r"^\.\./zpoints/samplers\.npz: no such file"):
        model.generate(1)
    with pytest.raises(UserError, match=r"^\.\./attributes/directions\.npz: no such file"):
        model.edit(random_images[:1], Smiling=1)
