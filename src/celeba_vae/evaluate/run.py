"""Evaluation of a trained model: reconstructions, likelihood, drawn faces, FID."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from celeba_vae.evaluate.bits_per_dimension import measure_likelihood
from celeba_vae.evaluate.compared_samplers import ComparedSampler
from celeba_vae.evaluate.drawn_faces import compare_drawn_faces
from celeba_vae.evaluate.fid import FidReference, measure_fid
from celeba_vae.evaluate.reconstructions import measure_reconstructions
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import EvaluateParams
from celeba_vae.runtime.outs import Out, Result
from celeba_vae.shards.read import Split


def evaluate_model(
    model: Pretrained,
    splits: Mapping[str, Split],
    test_names: Sequence[str],
    samplers: Mapping[str, ComparedSampler],
    fid: FidReference | None,
    params: EvaluateParams,
) -> Result:
    """Measure a trained model on the test images.

    Args:
        model: the trained model.
        splits: all images, by the name of the split.
        test_names: file names of the test images, in the order of the split.
        samplers: the samplers to compare, by name.
        fid: what FID needs, or None for none.
        params: the parameters of the stage.

    Returns:
        outs: those of `measure_reconstructions`, of `measure_likelihood` (not for a plain
            autoencoder) and of `compare_drawn_faces`.
        metrics: theirs as reconstruction, likelihood and samples; fid, see `measure_fid`.
    """
    train, validation, test = (splits[name] for name in ("train", "validation", "test"))
    sizes = params.quick if params.level == "quick" else params.full
    compared = min(sizes.images, len(test), len(validation))
    seed = params.seed
    parts = {"reconstruction": measure_reconstructions(model, test, test_names)}
    if model.variational:
        parts["likelihood"] = measure_likelihood(
            model,
            train,
            _random_rows(train, sizes.images, seed),
            test.take(_random_rows(test, sizes.likelihood_images, seed)),
            samples=sizes.importance_samples,
            seed=seed,
        )
    else:
        print("No likelihood: a plain autoencoder has none")
    parts["samples"] = compare_drawn_faces(
        model,
        samplers,
        train,
        test.take(_random_rows(test, compared, seed)),
        validation.take(_random_rows(validation, compared, seed)),
        neighbours=params.neighbours,
        seed=seed,
    )
    outs: dict[str, Out] = {}
    for part in parts.values():
        outs |= part.outs
    metrics = {name: part.metrics for name, part in parts.items()}
    if fid is None:
        print("No FID: evaluate.fid names no Inception network")
    else:
        metrics["fid"] = measure_fid(model, samplers, test, fid, seed=seed)
    return Result(outs, metrics)


def _random_rows(split: Split, wanted: int, seed: int) -> NDArray[np.int64]:
    """Return rows of a split in random order, each once; the first of more are the same."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, len(split)))))
    return generator.permutation(len(split))[:wanted]
