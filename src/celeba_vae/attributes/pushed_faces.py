"""Faces pushed along an attribute: latent traversals through the z-points of real images."""

import numpy as np
from numpy.typing import NDArray

from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import AttributesParams
from celeba_vae.plots.grids import labelled_png
from celeba_vae.runtime.arrays import Floats
from celeba_vae.shards.read import Split


def pushed_faces(
    model: Pretrained,
    images: Split,
    mu: Floats,
    has: NDArray[np.bool_],
    *,
    name: str,
    step: Floats,
    params: AttributesParams,
) -> bytes:
    """Return faces pushed along an attribute, from -push to +push steps, as a labelled PNG.

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
        In each row the image, then its face at each step.
    """
    rows = min(params.rows, len(mu))
    half = max(rows // 2, rows - int(has.sum()))
    lacking = np.flatnonzero(~has)[:half]
    chosen = np.concatenate([lacking, np.flatnonzero(has)[: rows - len(lacking)]])
    amounts = np.linspace(-params.push, params.push, params.columns)
    z = mu[chosen, None] + amounts[:, None] * step
    faces = model.decode(z.reshape(-1, model.z_dim)).reshape(*z.shape[:2], *images.image_shape)
    rows_of_faces = np.concatenate([images.take(chosen)[:, None], faces], axis=1)
    return labelled_png(
        rows_of_faces.reshape(-1, *images.image_shape),
        columns=1 + params.columns,
        labels=[name if has[row] else f"not {name}" for row in chosen],
        heads=["image", *(f"{amount:+.3g}" if amount else "0" for amount in amounts)],
        caption=f"Pushed along {name}, in standard deviations of mu along its direction",
    )
