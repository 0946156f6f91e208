"""Tables of the z-points: of dimensions, radii, strongest components and eigenvalues."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.latent.statistics import (
    component_table,
    marchenko_pastur_eigenvalues,
    radius_table,
)
from celeba_vae.runtime.outs import Table
from celeba_vae.zpoints.describe import Described, strongest_dimensions
from celeba_vae.zpoints.encode import Encoded

# So many single components are shown: enough to see a pattern, few enough for one picture.
COMPONENTS = 12

Columns = Mapping[str, NDArray[Any]]


def table_of_dimensions(described: Mapping[str, Described]) -> Table:
    """Return a row for each split and dimension: `dimension_table`, active as 0 or 1."""
    header = ["split", *described["train"].dimensions]
    return Table(header, _rows_of_dimensions(described))


def curves(splits: Mapping[str, Encoded], described: Mapping[str, Described]) -> dict[str, Columns]:
    """Return what DVC plots, as columns of equal length: radius, components and eigenvalues.

    radius: histograms of |z| for each split beside the chi density. Of the training images,
    components: histograms of the strongest dimensions of z beside N(0, 1); eigenvalues: those of
    the covariances of z and mu beside those of a sample of N(0, I).

    Args:
        splits: the z-points by the name of the split; one of them is `train`.
        described: see `describe_splits`.
    """
    train = splits["train"].z
    strongest, _ = strongest_dimensions(described["train"].dimensions)
    return {
        "radius": radius_table({n: e.z.radii for n, e in splits.items()}, train.dimensions),
        "components": component_table(train.points, strongest[:COMPONENTS]),
        "eigenvalues": {
            "rank": np.arange(1, train.dimensions + 1),
            "z": train.eigenvalues,
            "mu": splits["train"].mu.eigenvalues,
            "normal": marchenko_pastur_eigenvalues(len(train), train.dimensions),
        },
    }


def as_table(columns: Columns) -> Table:
    """Return columns of equal length as a table."""
    return Table(list(columns), zip(*(c.tolist() for c in columns.values()), strict=True))


def _rows_of_dimensions(described: Mapping[str, Described]) -> Iterator[list[Any]]:
    for name, split in described.items():
        columns = (
            (column.astype(int) if column.dtype == bool else column).tolist()
            for column in split.dimensions.values()
        )
        for row in zip(*columns, strict=True):
            yield [name, *row]
