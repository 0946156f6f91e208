"""What the z-points know of a face: probes of attributes, faces pushed along them, true factors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from celeba_vae.faces.layout import ATTRIBUTES, SPLITS
from celeba_vae.latent.directions import DIRECTIONS_FILE, attribute_direction, save_directions
from celeba_vae.latent.disentanglement import FactorScores, completeness, score_factors
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import AttributesParams
from celeba_vae.plots.grids import labelled_grid, png
from celeba_vae.plots.probes import plot_factors, plot_probes
from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_bytes, write_json, write_tsv
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split, index_rows, open_split

_FACTOR = "factor_"

# Inverse strength of the probes' L2 penalty, as scikit-learn counts it. Of 1, 0.1, 0.01 and 0.001
# the best on 2,000 validation faces of CelebA after 4,096 training faces (mean AUC 0.79 to 0.82,
# 0.006 above the next).
_C = 0.1

Has = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """What is known of the images of a split, n values by name.

    Attributes:
        attributes: whether an image has it.
        factors: what a face was drawn from, as text; none for photos.
    """

    attributes: dict[str, Has]
    factors: dict[str, NDArray[np.str_]]


@dataclass(frozen=True)
class Probe:
    """How well an attribute can be read off mu, by a straight cut.

    Attributes:
        attribute: its name.
        positives: images of test that have it.
        negatives: images of test that lack it.
        auc: area under the ROC curve on test, 0.5 for guessing and 1 for no mistake; None where
            there was no probe.
        left_out: why there was none, else empty.
    """

    attribute: str
    positives: int
    negatives: int
    auc: float | None
    left_out: str

    @property
    def base_rate(self) -> float:
        """The share of test images that have the attribute."""
        return self.positives / (self.positives + self.negatives)


def write_attributes(
    model: Pretrained,
    zpoints: Path,
    shards: Path,
    folder: Path,
    metrics: Path,
    *,
    params: AttributesParams,
) -> None:
    """Probe mu for every attribute, push faces along some, and find the true factors in it.

    What the data do not know (attributes of own images, factors of photos) is left out.

    Args:
        model: the trained model.
        zpoints: the folder of the z-points' arrays.
        shards: the folder of shards.
        folder: where attributes.tsv (a row for each attribute, AUC or why there is none),
            DIRECTIONS_FILE, factors.tsv, and in plots/ auc.png, factors.png and push_NAME.png
            are written.
        metrics: the JSON file of metrics.
        params: the parameters of the stage.

    Raises:
        UserError: the z-points are missing or do not belong to the shards, or an attribute to be
            shown is none of CelebA's.
    """
    for name in params.shown:
        if name not in ATTRIBUTES:
            raise UserError(
                f"params.yaml: attributes.shown has {name!r}: allowed are {', '.join(ATTRIBUTES)}"
            )
    labels = read_labels(shards)
    mu = {split: _read_mu(zpoints, split, images=images) for split, images in labels.items()}
    train, test = labels["train"], labels["test"]

    probes = fit_probes(
        mu["train"], train.attributes, mu["test"], test.attributes, min_images=params.min_images
    )
    write_tsv(
        folder / "attributes.tsv",
        ("attribute", "test_images", "positives", "base_rate", "auc", "left_out"),
        [
            (
                p.attribute,
                p.positives + p.negatives,
                p.positives,
                p.base_rate,
                "" if p.auc is None else p.auc,
                p.left_out,
            )
            for p in probes
        ],
    )
    aucs = {probe.attribute: probe.auc for probe in probes if probe.auc is not None}
    write_bytes(folder / "plots/auc.png", plot_probes(aucs))
    directions = {n: attribute_direction(mu["train"], train.attributes[n]) for n in aucs}
    save_directions(folder / DIRECTIONS_FILE, directions, z_dim=model.z_dim)
    images = open_split(shards, "validation")
    for name in params.shown:
        if name in directions:
            picture = pushed_faces(
                model,
                images,
                mu["validation"],
                labels["validation"].attributes[name],
                name=name,
                step=directions[name],
                params=params,
            )
            write_bytes(folder / f"plots/push_{name}.png", png(picture))

    scores = score_factors(mu["train"], train.factors, mu["test"], test.factors)
    if scores is not None:
        _write_factors(folder, scores)
    write_json(metrics, _summary(probes, aucs, scores))


def read_labels(shards: Path) -> dict[str, Labels]:
    """Return what the shards' index knows of the images, by the name of the split.

    Raises:
        UserError: the index cannot be read.
    """
    attributes: dict[str, dict[str, list[bool]]] = {split: {} for split in SPLITS}
    factors: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    for row in index_rows(shards):
        split = row["split"]
        for name, cell in row.items():
            if name.startswith(_FACTOR):
                factors[split].setdefault(name.removeprefix(_FACTOR), []).append(cell)
            elif name in ATTRIBUTES:
                attributes[split].setdefault(name, []).append(cell == "1")
    return {
        split: Labels(
            attributes={name: np.array(cells) for name, cells in attributes[split].items()},
            factors={name: np.array(cells) for name, cells in factors[split].items()},
        )
        for split in SPLITS
    }


def fit_probes(
    train: Floats,
    train_has: Mapping[str, Has],
    test: Floats,
    test_has: Mapping[str, Has],
    *,
    min_images: int,
) -> list[Probe]:
    """Fit a logistic regression from mu to each attribute, and test it on other images.

    mu is standardised with the centre and deviations of train; the penalty is _C.

    Args:
        train: mu of the training images, (n, z_dim).
        train_has: for each attribute which of them have it, (n,).
        test: mu of the test images, (m, z_dim).
        test_has: the same for these, (m,).
        min_images: an attribute that fewer images have or lack, in train or in test, has no probe.

    Returns:
        A probe for each attribute, in the order of `train_has`.
    """
    scaler = StandardScaler().fit(train)
    inputs, held_out = scaler.transform(train), scaler.transform(test)
    probes = []
    with progress_bar(len(train_has), label="probe", unit="attributes") as bar:
        for name, has in train_has.items():
            truth = test_has[name]
            positives = int(truth.sum())
            reason = _too_few(has, "train", min_images) or _too_few(truth, "test", min_images)
            auc = None
            if not reason:
                probe = LogisticRegression(C=_C, max_iter=1000).fit(inputs, has)
                auc = float(roc_auc_score(truth, probe.decision_function(held_out)))
            probes.append(Probe(name, positives, len(truth) - positives, auc, reason))
            bar.update()
    return probes


def pushed_faces(
    model: Pretrained,
    images: Split,
    mu: Floats,
    has: Has,
    *,
    name: str,
    step: Floats,
    params: AttributesParams,
) -> NDArray[np.uint8]:
    """Return a labelled grid of faces pushed along an attribute, from -push to +push steps.

    Args:
        model: the trained model.
        images: n images, of which the first that lack the attribute and the first that have it
            make up the rows, half each as far as there are as many.
        mu: their z-points, (n, z_dim).
        has: which of them have it, (n,).
        name: the attribute.
        step: one step along it, (z_dim,).
        params: the parameters of the stage: rows, columns, push.

    Returns:
        uint8 (height, width, 3): the image, then its face at each step.
    """
    rows = min(params.rows, len(mu))
    half = max(rows // 2, rows - int(has.sum()))
    lacking = np.flatnonzero(~has)[:half]
    chosen = np.concatenate([lacking, np.flatnonzero(has)[: rows - len(lacking)]])
    amounts = np.linspace(-params.push, params.push, params.columns)
    z = mu[chosen, None] + amounts[:, None] * step
    faces = model.decode(z.reshape(-1, model.z_dim)).reshape(*z.shape[:2], *images.image_shape)
    rows_of_faces = np.concatenate([images.take(chosen)[:, None], faces], axis=1)
    return labelled_grid(
        rows_of_faces.reshape(-1, *images.image_shape),
        columns=1 + params.columns,
        labels=[name if has[row] else f"not {name}" for row in chosen],
        heads=["image", *(f"{amount:+.3g}" if amount else "0" for amount in amounts)],
        caption=f"Pushed along {name}, in standard deviations of mu along its direction",
    )


def _too_few(has: Has, split: str, min_images: int) -> str:
    counts = {"have": int(has.sum()), "lack": int((~has).sum())}
    for verb, count in counts.items():
        if count < min_images:
            return f"{count} images of {split} {verb} it, fewer than {min_images}"
    return ""


def _read_mu(zpoints: Path, split: str, *, images: Labels) -> Floats:
    path = zpoints / f"{split}_mu.npy"
    try:
        with path.open("rb") as file:
            mu: Floats = np.lib.format.read_array(file, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}; run `dvc repro zpoints`") from None
    counts = {len(column) for column in (*images.attributes.values(), *images.factors.values())}
    if counts - {len(mu)}:
        raise UserError(
            f"{path}: has {len(mu)} z-points, the shards' index has {counts.pop()} images; "
            "run `dvc repro zpoints`"
        )
    return mu


def _write_factors(folder: Path, scores: FactorScores) -> None:
    order = np.argsort(-scores.information, axis=1, kind="stable")
    rows = zip(
        scores.names,
        scores.entropies.tolist(),
        order[:, 0].tolist(),
        scores.information.max(axis=1).tolist(),
        scores.gaps.tolist(),
        completeness(scores.importances).tolist(),
        scores.informativeness.tolist(),
        strict=True,
    )
    write_tsv(
        folder / "factors.tsv",
        (
            "factor",
            "entropy_nats",
            "best_dimension",
            "information_nats",
            "mig",
            "completeness",
            "informativeness",
        ),
        list(rows),
    )
    shares = np.maximum(scores.information, 0) / scores.entropies[:, None]
    write_bytes(folder / "plots/factors.png", plot_factors(scores.names, shares))


def _summary(
    probes: Sequence[Probe], aucs: Mapping[str, float], scores: FactorScores | None
) -> dict[str, Any]:
    summary: dict[str, Any] = {"probes": len(aucs), "left_out": len(probes) - len(aucs)}
    if aucs:
        summary |= {"auc_mean": float(np.mean(list(aucs.values()))), "auc": dict(aucs)}
    if scores is not None:
        summary["factors"] = {"factors": len(scores.names), **scores.summary()}
    return summary
