"""What mu tells of a face: linear probes, directions of attributes, true factors of drawn faces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from celeba_vae.attributes.labels import Labels
from celeba_vae.attributes.linear_probes import Probe, fit_probes, probe_table
from celeba_vae.attributes.pushed_faces import pushed_faces
from celeba_vae.latent.directions import DIRECTIONS_FILE, attribute_direction, direction_arrays
from celeba_vae.latent.disentanglement import FactorScores, completeness, score_factors
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import AttributesParams
from celeba_vae.plots.probes import plot_factors, plot_probes
from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.outs import Out, Result, Table
from celeba_vae.shards.read import Split


def describe_attributes(
    model: Pretrained,
    labels: Mapping[str, Labels],
    mu: Mapping[str, Floats],
    validation: Split,
    params: AttributesParams,
) -> Result:
    """Probe mu for every attribute, push faces along some, and find the true factors in it.

    What the data do not know (attributes of own images, factors of photos) is left out.

    Args:
        model: the trained model.
        labels: of all images, by the name of the split.
        mu: of all images, (n, z_dim) by the name of the split, in the order of the labels.
        validation: the validation images.
        params: the parameters of the stage.

    Returns:
        outs: attributes.tsv (a row for each attribute, AUC or why there is none),
            DIRECTIONS_FILE (a direction for each attribute with a probe), factors.tsv, and in
            plots/ auc.png, factors.png and push_NAME.png.
        metrics: probes and attributes left_out, their numbers; auc by attribute and auc_mean;
            factors: their number and `FactorScores.summary`.
    """
    train, test = labels["train"], labels["test"]
    probes = fit_probes(
        mu["train"], train.attributes, mu["test"], test.attributes, min_images=params.min_images
    )
    aucs = {probe.attribute: probe.auc for probe in probes if probe.auc is not None}
    directions = {name: attribute_direction(mu["train"], train.attributes[name]) for name in aucs}
    outs: dict[str, Out] = {
        "attributes.tsv": probe_table(probes),
        DIRECTIONS_FILE: direction_arrays(directions, aucs, z_dim=model.z_dim),
        "plots/auc.png": plot_probes(aucs),
    }
    for name in params.shown:
        if name in directions:
            outs[f"plots/push_{name}.png"] = pushed_faces(
                model,
                validation,
                mu["validation"],
                labels["validation"].attributes[name],
                name=name,
                step=directions[name],
                params=params,
            )
    scores = score_factors(mu["train"], train.factors, mu["test"], test.factors)
    if scores is not None:
        outs["factors.tsv"] = _factor_table(scores)
        outs["plots/factors.png"] = plot_factors(
            scores.names, np.maximum(scores.information, 0) / scores.entropies[:, None]
        )
    return Result(outs, _metrics(probes, aucs, scores))


def _factor_table(scores: FactorScores) -> Table:
    order = np.argsort(-scores.information, axis=1, kind="stable")
    return Table(
        (
            "factor",
            "entropy_nats",
            "best_dimension",
            "information_nats",
            "mig",
            "completeness",
            "informativeness",
        ),
        zip(
            scores.names,
            scores.entropies.tolist(),
            order[:, 0].tolist(),
            scores.information.max(axis=1).tolist(),
            scores.gaps.tolist(),
            completeness(scores.importances).tolist(),
            scores.informativeness.tolist(),
            strict=True,
        ),
    )


def _metrics(
    probes: Sequence[Probe], aucs: Mapping[str, float], scores: FactorScores | None
) -> dict[str, Any]:
    metrics: dict[str, Any] = {"probes": len(aucs), "left_out": len(probes) - len(aucs)}
    if aucs:
        metrics |= {"auc_mean": float(np.mean(list(aucs.values()))), "auc": dict(aucs)}
    if scores is not None:
        metrics["factors"] = {"factors": len(scores.names), **scores.summary()}
    return metrics
