"""FID of drawn faces against all test images, with what its value depends on."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from celeba_vae.evaluate.compared_samplers import ComparedSampler
from celeba_vae.evaluate.inception import Inception, inception_features, load_inception
from celeba_vae.metrics.frechet import frechet_distance
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.runtime.arrays import Floats, Pixels
from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import BLOCK, Split, read_manifest, shard_sums


@dataclass(frozen=True)
class FidReference:
    """What an FID is measured with, and what its value means nothing without.

    Attributes:
        network: Inception.
        described: size, crop and filter of the test images, and the sha256 of their shards and of
            the network's file.
    """

    network: Inception
    described: Mapping[str, Any]


def load_reference(shards: Path, weights: Path) -> FidReference:
    """Load Inception and describe the test images.

    Args:
        shards: the folder of shards.
        weights: the file of the network, see `load_inception`.

    Raises:
        UserError: the shards or the network cannot be read.
    """
    manifest = read_manifest(shards)
    sums = "".join(digest for _, digest in shard_sums(shards, "test"))
    return FidReference(
        network=load_inception(weights),
        described={
            "size": manifest["image_shape"][0],
            "crop": manifest["crop"],
            "filter": manifest["filter"],
            "reference_sha256": hashlib.sha256(sums.encode()).hexdigest(),
            "network_sha256": sha256_of(weights),
        },
    )


def measure_fid(
    model: Pretrained,
    samplers: Mapping[str, ComparedSampler],
    test: Split,
    reference: FidReference,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the FID of as many faces of each sampler as there are test images, by its name.

    Before them stand images, their number, and `FidReference.described`.
    """
    fid = {"images": len(test), **reference.described}
    print("FID against the test images: " + ", ".join(f"{k} {v}" for k, v in fid.items()))

    def features(blocks: Iterable[Pixels], name: str) -> Floats:
        found = []
        with progress_bar(len(test), label=f"FID {name}", unit="images") as bar:
            for images in blocks:
                found.append(inception_features(reference.network, images))
                bar.update(len(images))
        return np.concatenate(found)

    real = features((images for _, images in test.blocks()), "test")
    for name, sampler in samplers.items():
        drawn = features(_decoded(model, sampler.draw(len(test), seed)), name)
        fid[name] = frechet_distance(real, drawn)
        print(f"FID {name}: {fid[name]:.2f}")
    return fid


def _decoded(model: Pretrained, z: np.ndarray) -> Iterator[Pixels]:
    for start in range(0, len(z), BLOCK):
        yield model.decode(z[start : start + BLOCK])
