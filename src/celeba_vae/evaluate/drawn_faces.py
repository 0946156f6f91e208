"""Drawn faces compared with real ones: sliced Wasserstein distance, coverage, memorisation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.evaluate.compared_samplers import ComparedSampler
from celeba_vae.metrics.features import random_features, thumbnails
from celeba_vae.metrics.neighbours import manifold_scores, nearest
from celeba_vae.metrics.similarity import pair_similarity
from celeba_vae.metrics.wasserstein import pyramid_distance, pyramid_sides
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.plots.grids import labelled_rows
from celeba_vae.runtime.arrays import Floats, Pixels
from celeba_vae.runtime.outs import Out, Result, Table
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split

# Faces in a row of a picture.
_SHOWN = 10

# A face nearer to a training image is a copy of it: half a grey level, in pixels of [0, 1].
_COPY = 0.5 / 255


def compare_drawn_faces(
    model: Pretrained,
    samplers: Mapping[str, ComparedSampler],
    train: Split,
    test: Pixels,
    validation: Pixels,
    *,
    neighbours: int,
    seed: int,
) -> Result:
    """Compare each set of faces with as many test images; one set is in memory at a time.

    The sets are validation images (what real faces reach), their reconstructions, and for each
    sampler as many drawn faces.

    Args:
        model: the trained model.
        samplers: the samplers to compare, by name.
        train: the training images, of which the nearest to each face are found.
        test: n test images in random order, (n, size, size, 3).
        validation: n validation images in random order.
        neighbours: k of precision, recall, density and coverage.
        seed: seed of the drawn z-points, of the random features and patches.

    Returns:
        outs: samples.tsv, a row for each set; plots/nearest_SAMPLER.png.
        metrics: images, which is n; and by the name of the set
            swd and swd_SIDE: mean and levels of `pyramid_distance` from the test images;
            pair_similarity; precision, recall, density and coverage;
            train_distance: the median distance to the nearest training image;
            memorisation_ratio: the same divided by that of test images;
            copies_of_train: faces that copy a training image, where there are any;
            temperature: of a sampler.
            For test itself what needs no other faces. not_measured: why a measure is left out, by
            its name, where one is.
    """
    real_features = random_features(test, seed=seed)
    real = _nearest_of_train(test, train, name="test")
    real_distance = float(np.median(real.distances))
    not_measured = _not_measured(real, real_distance, neighbours=neighbours)
    sets: dict[str, dict[str, Any]] = {
        "test": {
            "pair_similarity": pair_similarity(test),
            "train_distance": real_distance,
            **_copies(real),
        },
    }
    outs: dict[str, Out] = {}
    for name in ("validation", "reconstructions", *samplers):
        if name == "validation":
            faces = validation
        elif name == "reconstructions":
            faces = model.reconstruct(validation)
        else:
            faces = model.decode(samplers[name].draw(len(test), seed))
        swd = _patch_distances(test, faces, name=name, seed=seed)
        near = _nearest_of_train(faces, train, name=name)
        distance = float(np.median(near.distances))
        sets[name] = {
            "swd": float(np.mean(list(swd.values()))),
            **swd,
            "pair_similarity": pair_similarity(faces),
        }
        if len(test) > neighbours:
            features = random_features(faces, seed=seed)
            sets[name] |= manifold_scores(real_features, features, neighbours=neighbours)
        sets[name]["train_distance"] = distance
        if "memorisation_ratio" not in not_measured:
            sets[name]["memorisation_ratio"] = distance / real_distance
        sets[name] |= _copies(near)
        if name in samplers:
            sets[name]["temperature"] = samplers[name].temperature
            outs[f"plots/nearest_{name}.png"] = labelled_rows(
                ("drawn", faces[:_SHOWN]),
                ("nearest of train", train.take(near.rows[:_SHOWN])),
                ("drawn, closest", faces[near.closest]),
                ("nearest of train", train.take(near.rows[near.closest])),
                ("test, closest", test[real.closest]),
                ("nearest of train", train.take(real.rows[real.closest])),
                caption=f"Faces drawn by the sampler {name}, and the training images nearest to "
                "them",
            )
    metrics: dict[str, Any] = {"images": len(test), **sets}
    if not_measured:
        metrics["not_measured"] = not_measured
    return Result({"samples.tsv": _table(sets), **outs}, metrics)


@dataclass(frozen=True)
class _Nearest:
    """The training image nearest to each of n faces, by their thumbnails.

    Attributes:
        distances: see `metrics.neighbours.nearest`, (n,).
        rows: of the training images, (n,).
    """

    distances: Floats
    rows: NDArray[np.int64]

    @property
    def closest(self) -> NDArray[np.int64]:
        """The faces nearest to their training image, nearest first, (_SHOWN,) or fewer."""
        return np.argsort(self.distances, kind="stable")[:_SHOWN]

    @property
    def copies(self) -> int:
        """How many of the faces are copies of their training image."""
        return int((self.distances < _COPY).sum())


def _nearest_of_train(faces: Pixels, train: Split, *, name: str) -> _Nearest:
    with progress_bar(len(train), label=f"nearest {name}", unit="images") as bar:

        def blocks() -> Iterator[NDArray[np.float32]]:
            for rows, images in train.blocks():
                yield thumbnails(images)
                bar.update(len(rows))

        return _Nearest(*nearest(thumbnails(faces), blocks()))


def _patch_distances(real: Pixels, faces: Pixels, *, name: str, seed: int) -> dict[str, float]:
    sides = pyramid_sides(real.shape[1])
    with progress_bar(len(sides), label=f"patches {name}", unit="levels") as bar:
        distances = {}
        for level, side in enumerate(sides):
            distances[f"swd_{side}"] = pyramid_distance(real, faces, level=level, seed=seed)
            bar.update()
    return distances


def _not_measured(real: _Nearest, distance: float, *, neighbours: int) -> dict[str, str]:
    """Return why a measure is left out, by its name, and say so, and that test holds copies.

    Args:
        real: the training images nearest to the test images.
        distance: the median of their distances.
        neighbours: k of precision, recall, density and coverage.
    """
    images = len(real.distances)
    copies = f"{real.copies} of {images} test images are copies of training images"
    reasons: dict[str, str] = {}
    if images <= neighbours:
        scores = ("precision", "recall", "density", "coverage")
        why = f"evaluate.neighbours = {neighbours} needs more than the {images} images there are"
        print(f"No {', '.join(scores)}: {why}")
        reasons |= dict.fromkeys(scores, why)
    if distance < _COPY:
        print(f"No memorisation_ratio: {copies}")
        reasons["memorisation_ratio"] = copies
    elif real.copies:
        print(copies)
    return reasons


def _copies(near: _Nearest) -> dict[str, int]:
    return {"copies_of_train": near.copies} if near.copies else {}


def _table(sets: Mapping[str, Mapping[str, Any]]) -> Table:
    measures = dict.fromkeys(name for row in sets.values() for name in row)
    columns = dict.fromkeys((*sets["validation"], "temperature", *measures))
    return Table(
        ("faces", *columns),
        [(name, *(row.get(column, "") for column in columns)) for name, row in sets.items()],
    )
