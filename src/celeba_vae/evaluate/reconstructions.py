"""Reconstructions of all test images: their quality one by one, the best and the worst."""

import math
from collections.abc import Sequence

import numpy as np

from celeba_vae.metrics.quality import image_quality, join_blocks, summary
from celeba_vae.metrics.similarity import ms_ssim
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.plots.grids import labelled_rows
from celeba_vae.runtime.outs import Result, Table
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split

# Faces in a row of the picture.
_SHOWN = 10


def measure_reconstructions(model: Pretrained, test: Split, file_names: Sequence[str]) -> Result:
    """Measure the reconstruction of every test image.

    Args:
        model: the trained model.
        test: the test images.
        file_names: their names, in the order of the split.

    Returns:
        outs: reconstructions.csv, a row for each image, and plots/best_and_worst.png.
        metrics: `metrics.quality.summary` of MSE, PSNR, SSIM and MS-SSIM.
    """
    blocks = []
    with progress_bar(len(test), label="reconstruct", unit="images") as bar:
        for rows, originals in test.blocks():
            reconstructions = model.reconstruct(originals)
            similarity = {"ms_ssim": ms_ssim(originals, reconstructions)}
            blocks.append(image_quality(originals, reconstructions) | similarity)
            bar.update(len(rows))
    quality = join_blocks(blocks)
    table = Table(
        ("row", "file_name", *quality),
        (
            # As text: an exact 1 is 1, not 1.0.
            (row, name, *(f"{value:.6g}" for value in values))
            for row, (name, *values) in enumerate(zip(file_names, *quality.values(), strict=True))
        ),
    )
    # Not by MSE, which would show dark images as the best and bright ones as the worst.
    order = np.argsort(quality["ms_ssim"], kind="stable")
    worst, best = test.take(order[:_SHOWN]), test.take(order[::-1][:_SHOWN])
    picture = labelled_rows(
        ("best of test", best),
        ("reconstructed", model.reconstruct(best)),
        ("worst of test", worst),
        ("reconstructed", model.reconstruct(worst)),
        caption="Test images by MS-SSIM",
    )
    return Result(
        {"reconstructions.csv": table, "plots/best_and_worst.png": picture},
        summary(quality, values=math.prod(test.image_shape)),
    )
