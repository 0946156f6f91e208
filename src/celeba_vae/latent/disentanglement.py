"""Disentanglement of true factors in the latent space: DCI and MIG.

For synthetic faces, whose factors are known. A factor is a column of numbers or of words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Lasso

from celeba_vae.runtime.arrays import Floats

# Values that a discretised dimension or factor has at most, as in Locatello et al. (2019).
BINS = 20

# Images that the scores are made of, the first ones: enough for two digits, in a few seconds.
# Synthetic faces are independent of each other, so the first ones are as good as any.
IMAGES = 4096

Words = NDArray[np.str_]


@dataclass(frozen=True)
class FactorScores:
    """Scores of f factors in z_dim dimensions.

    Attributes:
        names: the factors that vary; the others are left out.
        entropies: (f,), of the discretised factors, in nats.
        information: (f, z_dim), mutual information of factor and dimension, in nats.
        importances: (f, z_dim), see `lasso_importances`.
        informativeness: (f,), the share of a factor's variance that is predicted on other images.
    """

    names: tuple[str, ...]
    entropies: Floats
    information: Floats
    importances: Floats
    informativeness: Floats

    @property
    def gaps(self) -> Floats:
        """MIG of each factor, (f,), see `information_gaps`."""
        return information_gaps(self.information, self.entropies)

    def summary(self) -> dict[str, float]:
        """Return the scores of all factors together, each from 0 to 1 but informativeness."""
        return {
            "disentanglement": weighted(disentanglement(self.importances), self.importances.sum(0)),
            "completeness": weighted(completeness(self.importances), self.importances.sum(1)),
            "informativeness": float(self.informativeness.mean()),
            "mig": float(self.gaps.mean()),
        }


def score_factors(
    train: Floats, factors: Mapping[str, Words], test: Floats, test_factors: Mapping[str, Words]
) -> FactorScores | None:
    """Score the dimensions of mu against the true factors.

    Args:
        train: mu of the training images, (n, z_dim), of which the first IMAGES are used, to learn
            importances and to count for the mutual information.
        factors: the factors of the training images, (n,) each, by name.
        test: mu of the test images, for informativeness.
        test_factors: their factors.

    Returns:
        The scores, or None where no factor varies in both splits.
    """
    train, known = train[:IMAGES], {name: cells[:IMAGES] for name, cells in factors.items()}
    names = tuple(
        name for name in known if min(_varieties(known[name]), _varieties(test_factors[name])) > 1
    )
    if not names:
        return None
    dimensions = np.stack([discretise(column) for column in train.T])
    codes = [discretise(_numbers(known[name])) for name in names]
    columns = [_columns(known[name], test_factors[name]) for name in names]
    importances, informativeness = lasso_importances(train, test, columns)
    return FactorScores(
        names=names,
        entropies=np.array([entropy(code) for code in codes]),
        information=np.array(
            [[mutual_information(code, dimension) for dimension in dimensions] for code in codes]
        ),
        importances=importances,
        informativeness=informativeness,
    )


def discretise(values: NDArray[Any]) -> NDArray[np.intp]:
    """Return the bin of each value, (n,): at most BINS bins, with equal counts as far as can be.

    Up to BINS different values have a bin each. Equal counts, unlike the equal widths of Locatello
    et al. (2019), do not let one far point push all others into few bins.
    """
    # With an index, NumPy sorts without instructions that emulated processors fail at.
    different, _, codes = np.unique(values, return_index=True, return_inverse=True)
    if len(different) <= BINS:
        return codes
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, values, side="right")


def entropy(codes: NDArray[np.intp]) -> float:
    """Return the entropy of discrete values, in nats, from their frequencies."""
    shares = np.bincount(codes) / len(codes)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def mutual_information(a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
    """Return I(a; b) = H(a) + H(b) - H(a, b) of discrete values from 0, in nats.

    From frequencies, so too large by about (bins of a - 1)(bins of b - 1) / 2n for independent
    values: 0.04 nats with 20 bins each and 4096 images.
    """
    return entropy(a) + entropy(b) - entropy(a * (int(b.max()) + 1) + b)


def information_gaps(information: Floats, entropies: Floats) -> Floats:
    """Return the mutual information gap of each factor, (f,), from 0 to 1; the mean is MIG.

    (I of the best dimension - I of the second best) / H of the factor: 1 where one dimension
    tells the factor and no other tells anything (Chen et al. 2018, arXiv:1802.04942).

    Args:
        information: (f, z_dim) in nats; with a single dimension the second best tells nothing.
        entropies: (f,) in nats, above 0.
    """
    with_none = np.concatenate([information, np.zeros((len(information), 1))], axis=1)
    ordered = np.sort(np.maximum(with_none, 0), axis=1)
    gaps: Floats = (ordered[:, -1] - ordered[:, -2]) / entropies
    return gaps


def lasso_importances(
    train: Floats, test: Floats, columns: list[tuple[Floats, Floats]]
) -> tuple[Floats, Floats]:
    """Return how much each dimension matters in predicting each factor, and how well that goes.

    As in Eastwood and Williams (2018) the predictor is a lasso and a dimension's importance the
    size of its coefficient; factor and dimensions are standardised first. The lasso's weight is
    sqrt(2 ln(z_dim T) / n) with T columns to predict: the size that noise alone hardly ever
    reaches, so that what is not there gets 0 (Donoho and Johnstone 1994). What a dimension tells
    of a factor other than in a straight line is in the mutual information, not here.

    Args:
        train: (n, z_dim).
        test: (m, z_dim), of other images.
        columns: for each of the f factors its values in train (n, c) and in test (m, c): numbers
            as one column, words as one column for each. Importances of several columns are
            joined as the root of the sum of squares, weighed by the columns' variances.

    Returns:
        importances: (f, z_dim), not negative; 0 for factors that are not predicted on test.
        informativeness: (f,), R^2 on test: 1 perfect, 0 as good as the mean, below 0 worse; 0
            where all of test's words are others than train's.
    """
    mean, std = train.mean(axis=0), train.std(axis=0)
    # A constant dimension tells nothing, whatever it is divided by.
    scale = np.where(std > 0, std, 1.0)
    inputs, held_out = (train - mean) / scale, (test - mean) / scale
    targets = np.concatenate([values for values, _ in columns], axis=1)
    means, deviations = targets.mean(axis=0), targets.std(axis=0)
    varying = np.where(deviations > 0, deviations, 1.0)
    # With a single dimension and column, as with two: without a penalty it would be no lasso.
    penalty = np.sqrt(2 * np.log(max(train.shape[1] * targets.shape[1], 2)) / len(train))
    lasso = Lasso(alpha=penalty, fit_intercept=False, precompute=True, max_iter=10_000)
    fitted = lasso.fit(inputs, (targets - means) / varying)
    weights = np.atleast_2d(fitted.coef_) * deviations[:, None]

    ends = np.cumsum([values.shape[1] for values, _ in columns])
    importances = np.zeros((len(columns), train.shape[1]))
    informativeness = np.zeros(len(columns))
    for row, ((_, truth), end) in enumerate(zip(columns, ends, strict=True)):
        own = slice(end - truth.shape[1], end)
        errors = truth - means[own] - held_out @ weights[own].T
        spread = ((truth - truth.mean(axis=0)) ** 2).sum()
        # Words of test that train does not know are none of its columns: nothing to predict.
        informativeness[row] = 1 - (errors**2).sum() / spread if spread > 0 else 0.0
        if informativeness[row] > 0:
            total = (deviations[own] ** 2).sum()
            importances[row] = np.sqrt((weights[own] ** 2).sum(axis=0) / total)
    return importances, informativeness


def disentanglement(importances: Floats) -> Floats:
    """Return D of each dimension, (z_dim,): 1 where it matters for one factor only.

    1 - H(P) / ln f, where P are the dimension's importances divided by their sum (Eastwood and
    Williams 2018, section 2); 0 for a dimension that matters for none.
    """
    return _concentration(importances.T)


def completeness(importances: Floats) -> Floats:
    """Return C of each factor, (f,): 1 where one dimension only matters for it.

    As `disentanglement`, over the dimensions instead of the factors.
    """
    return _concentration(importances)


def weighted(scores: Floats, weights: Floats) -> float:
    """Return the mean of scores with these weights; 0 where all weights are."""
    total = weights.sum()
    return float((scores * weights).sum() / total) if total > 0 else 0.0


def _concentration(rows: Floats) -> Floats:
    sums = rows.sum(axis=1, keepdims=True)
    shares = np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0)
    logs = np.log(shares, out=np.zeros_like(rows), where=shares > 0)
    # With a single possible place there is nothing to be concentrated against.
    most = np.log(rows.shape[1]) if rows.shape[1] > 1 else 1.0
    return np.where(sums[:, 0] > 0, 1 + (shares * logs).sum(axis=1) / most, 0.0)


def _varieties(cells: Words) -> int:
    return len(np.unique(cells))


def _numbers(cells: Words) -> Floats | NDArray[np.intp]:
    """Return the cells as numbers; words by their rank."""
    try:
        return cells.astype(np.float64)
    except ValueError:
        return np.unique(cells, return_inverse=True)[1]


def _columns(train: Words, test: Words) -> tuple[Floats, Floats]:
    """Return numbers as one column, words as a column of 0 and 1 for each word of train."""
    try:
        return train.astype(np.float64)[:, None], test.astype(np.float64)[:, None]
    except ValueError:
        words = np.unique(train)
        return (train[:, None] == words).astype(float), (test[:, None] == words).astype(float)
