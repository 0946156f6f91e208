"""Data and parameters at their limits, through all stages: true numbers, or one line at once.

The stages run in the process of the tests, one after the other, as `dvc repro` runs them.
"""

import json
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from celeba_vae import backend
from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.verify.tiny_params import TINY
from stages.attributes import attributes
from stages.download import download
from stages.evaluate import evaluate
from stages.generate import generate
from stages.prepare import prepare
from stages.report import report
from stages.runner import check_network
from stages.train import train
from stages.zpoints import zpoints
from tests.support import ROOT

STAGES = (download, prepare, train, zpoints, generate, attributes, evaluate, report)

# Six digits make 12 or 1e-05 of what is exactly a number; what is none has one of these names.
NO_NUMBER = re.compile(r"(?<![\w.])[-+]?(nan|inf|infinity)(?!\w)", re.IGNORECASE)

Metrics = dict[str, Any]
Reproduce = Callable[..., Metrics]


@pytest.fixture
def repro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reproduce:
    """Run all stages with tiny parameters and these changes, and return the metrics by stage.

    NumPy's warnings, and those of the libraries about data that make no sense, are errors.
    """
    for name in ("src", "stages", ".dvcignore"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/machine.json").write_bytes((ROOT / "data/machine.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    # The process of the tests has TensorFlow already.
    for name in ("configure_tensorflow", "configure_backend"):
        monkeypatch.setattr(backend, name, lambda *_: None)

    def run(*changes: str) -> Metrics:
        params = load_params(ROOT / "params.yaml", (*TINY, "run.workers=1", *changes))
        with warnings.catch_warnings():
            for category in (RuntimeWarning, UserWarning):
                warnings.simplefilter("error", category)
            for stage in STAGES:
                stage(params)
        tables = [*Path("data").rglob("*.tsv"), *Path("data").rglob("*.csv")]
        for path in tables:
            assert not NO_NUMBER.search(path.read_text()), path
        assert (tmp_path / "data/report/report.html").stat().st_size > 10_000
        # Whoever writes JSON refuses what is no number.
        return {path.stem: json.loads(path.read_text()) for path in Path("data/metrics").iterdir()}

    return run


def album(folder: Path, images: np.ndarray, attributes: Sequence[Sequence[int]] = ()) -> str:
    """Write images and, where there are any, Male and Young; return the override of the source."""
    folder.mkdir()
    rows = ["image_id,Male,Young"]
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
        if attributes:
            rows.append(",".join(map(str, (f"{number:03d}.png", *attributes[number]))))
    if attributes:
        (folder / "list_attr_celeba.csv").write_text("\n".join(rows) + "\n")
    return f"download.path={folder}"


def people(count: int) -> np.ndarray:
    """Different images of tiles, uint8 (count, 32, 32, 3)."""
    tiles = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return tiles.repeat(8, axis=1).repeat(8, axis=2)


LOCAL = ("download.source=local", "train.batch_size=8")


def test_black_images_alone(repro: Reproduce, tmp_path: Path) -> None:
    black = album(tmp_path / "album", np.zeros((40, 32, 32, 3), np.uint8))
    numbers = ("prepare.split=drawn", "prepare.validation=2", "prepare.test=2")
    # t-SNE of more than 100 equal points is with the slow ones.
    metrics = repro(*LOCAL, black, *numbers)
    samples = metrics["evaluate"]["samples"]
    assert samples["test"]["copies_of_train"] == 2
    assert set(samples["not_measured"]) == {
        *("precision", "recall", "density", "coverage", "memorisation_ratio")
    }
    page = (tmp_path / "data/report/report.html").read_text()
    assert "2 of 2 test images are copies of training images" in page
    assert "evaluate.neighbours = 2 needs more than the 2 images there are" in page
    # All are the same: not nearly.
    for split in ("train", "validation", "test"):
        assert metrics["zpoints"][split]["mu_radius_std"] == 0
    for name in ("generate", "evaluate"):
        reconstructed = metrics[name].get("reconstruction", metrics[name])
        assert reconstructed["psnr_db_std"] == reconstructed["ssim_std"] == 0


EQUAL = np.repeat(people(1), 130, axis=0)
# Male tells the two apart, Young does not.
HALVES = [(1 if row < 65 else -1, 1 if row % 2 else -1) for row in range(130)]
PLAIN = ("model.variational=false", "model.z_dim=2")
DEGENERATE: dict[str, tuple[np.ndarray, Sequence[Sequence[int]], tuple[str, ...]]] = {
    "equal": (EQUAL, HALVES, ()),
    "equal, plain": (EQUAL, HALVES, PLAIN),
    "two people": (people(2).repeat(65, axis=0), HALVES, ()),
    "two people, plain": (people(2).repeat(65, axis=0), HALVES, PLAIN),
    "12 people, 6 times each": (people(12).repeat(6, axis=0), (), ()),
    "grey": (np.full((60, 32, 32, 3), 130, np.uint8), (), ()),
    "attributes that all have, or none": (people(60), [(1, -1)] * 60, ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_images(repro: Reproduce, tmp_path: Path, name: str) -> None:
    images, attributes, changes = DEGENERATE[name]
    source = album(tmp_path / "album", images, attributes)
    metrics = repro(*LOCAL, source, "zpoints.tests=full", *changes)
    samples = metrics["evaluate"]["samples"]
    copied = len(np.unique(images, axis=0)) < len(images)
    assert ("copies_of_train" in samples["test"]) == copied
    assert ("memorisation_ratio" in samples["validation"]) != copied
    # A ratio of rounding errors would be far above.
    for split in ("train", "validation", "test"):
        assert (metrics["zpoints"][split]["condition_number"] or 0) < 1e6
    aucs = metrics["attributes"].get("auc", {})
    assert set(aucs) == (set() if len(attributes) < 130 else {"Male", "Young"})
    if images is EQUAL:
        assert set(aucs.values()) == {0.5}
    elif aucs:
        assert aucs["Male"] == 1


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_of_one_image_is_refused_before_the_training(
    repro: Reproduce, tmp_path: Path, split: str
) -> None:
    source = album(tmp_path / "album", people(40))
    number = 1 if split == "validation" else 2
    # One image of that split, four of the other, and the rest is train.
    numbers = [number, *[3 - number] * 4, *[0] * 35]
    rows = [f"{row:03d}.png {given}\n" for row, given in enumerate(numbers)]
    (tmp_path / "album/list_eval_partition.txt").write_text("".join(rows))
    with pytest.raises(UserError, match=f"the split {split} has fewer than 2 images"):
        repro(*LOCAL, source)
    assert not (tmp_path / "data/model").exists()


def test_a_wrong_path_for_a_later_stage_is_refused_before_the_first(tmp_path: Path) -> None:
    path = tmp_path / "classify_image_graph_def.pb"
    params = load_params(ROOT / "params.yaml", (*TINY, f"evaluate.fid={path}"))
    with pytest.raises(UserError, match=f"evaluate.fid = {path}: is not a file"):
        check_network(params)


@pytest.mark.slow
def test_an_album_of_forty_photographs_gets_a_report_with_the_defaults(
    repro: Reproduce, tmp_path: Path
) -> None:
    source = album(tmp_path / "album", people(40))
    metrics = repro(*LOCAL, source, "evaluate.neighbours=5", "attributes.min_images=10")
    samples = metrics["evaluate"]["samples"]
    assert samples["images"] < 6
    assert "evaluate.neighbours = 5 needs more than" in samples["not_measured"]["precision"]
    assert samples["validation"]["memorisation_ratio"] > 0


SEEDS = tuple(
    f"{group}.seed={2**32 - 1}"
    for group in ("download", "prepare", "train", "zpoints", "generate", "evaluate")
)
SMALLEST = (
    *("download.images=16", "prepare.size=8", "train.batch_size=1", "train.epochs=1"),
    *("evaluate.neighbours=100", "evaluate.quick.images=2"),
    *("evaluate.quick.likelihood_images=1", "evaluate.quick.importance_samples=1"),
    *("generate.rows=1", "generate.columns=1", "generate.walks=1", "generate.walk_steps=2"),
    *("attributes.rows=1", "attributes.columns=2"),
)
EXTREMES = {
    "one filter, one dimension, a kernel of 15 on a map of 1x1": (
        *("model.filters=[1, 1, 1]", "model.strides=[2, 2, 2]", "model.kernel=15"),
        *("model.z_dim=1", "model.batch_norm_momentum=0", "prepare.shard_images=1", *SEEDS),
    ),
    "grids of 100x100": (
        *("generate.rows=100", "generate.columns=100", "generate.walks=100"),
        *("generate.walk_steps=100", "attributes.rows=100", "attributes.columns=100"),
        *("attributes.push=100", "generate.sampler=ellipse", "generate.temperature=100"),
    ),
    "no weight of the KL loss": (
        *("train.kl_weight=0", "train.batch_size=12", "generate.sampler=gmm"),
        *("zpoints.tests=full", "evaluate.level=full", "evaluate.full.images=2"),
    ),
    "a huge weight of the KL loss": (
        *("train.kl_weight=1000000", "train.free_bits=1000", "train.learning_rate=1e-9"),
        *("train.clip_norm=1e-9", "train.ema=0.5", "train.kl_schedule=cyclical"),
        *("train.kl_schedule_epochs=1", "model.blocks=residual"),
    ),
    "no dimension is used": (
        *("train.kl_weight=1000000", "train.batch_size=8", "download.images=160"),
        *("model.inter_dense=1", "model.inter_activation=relu", "zpoints.tests=full"),
    ),
    "a plain autoencoder of many dimensions": (
        *("model.variational=false", "model.z_dim=64", "model.inter_dense=1"),
        "generate.sampler=gaussian",
    ),
    "a plain autoencoder of one": (
        *("model.variational=false", "model.z_dim=1", "model.filters=[1]"),
        *("model.strides=[8]", "model.kernel=1", "zpoints.tests=full"),
    ),
    "the smallest sigma": (
        *("train.loss=gaussian", "train.sigma=0.001"),
        *("model.strides=[1, 1]", "generate.sampler=normal"),
    ),
    "the best sigma, an image at a time": (
        *("train.loss=gaussian", "train.sigma=optimal", "train.batch_size=12"),
        *("train.accumulate=12", "train.learning_rate_schedule=cosine"),
        "model.log_var_bound=1000",
    ),
    "a learned sigma": (
        *("train.loss=gaussian", "train.sigma=learned", "train.select=best"),
        *("train.early_stopping=1", "train.learning_rate_schedule=exponential"),
        *("train.learning_rate_decay=0.001", "model.log_var_bound=0.001", "prepare.crop=1"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_parameters(repro: Reproduce, name: str) -> None:
    metrics = repro(*SMALLEST, *EXTREMES[name])
    assert metrics["evaluate"]["samples"]["images"] >= 2
