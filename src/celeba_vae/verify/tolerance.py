"""How far metrics may be from the committed ones on another kind of machine, and why.

With `instructions: native` only: there the last bits of every product differ, and a training
multiplies them: the two models are two draws of the same, as if the noise in z had been another.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from celeba_vae.runtime.mappings import flatten
from celeba_vae.verify.compare import Row

# Pattern of a metric's name; allowed difference as a share of the committed value; and what is
# allowed beside it. The first pattern that fits counts. Beside each: the largest difference seen
# between the default run with all instructions of a processor and with those up to AVX2. Allowed
# is several times that, because a single pair of runs does not show how far others go.
TOLERANCES: tuple[tuple[str, float, float], ...] = (
    # Of 256 dimensions, those above a threshold: none moved, but some lie near it.
    ("*.active_dimensions", 0.0, 6.0),
    ("*.informative_dimensions", 0.0, 3.0),
    # The KL loss is a thousandth of what is minimised, and held less tightly: 1.1 %.
    ("train.*kl*", 0.04, 0.0),
    ("train.gradient_norm", 0.04, 0.0),  # 0.8 %
    # Means over all images and all their pixels, three digits: 0.02 % of losses, 0.3 % of errors.
    ("train.*", 0.004, 0.0),
    ("generate.*_std", 0.03, 0.0),  # 0.9 %
    ("generate.*", 0.01, 0.0),
    ("evaluate.reconstruction.*_std", 0.03, 0.0),  # 0.6 %
    ("evaluate.reconstruction.*", 0.01, 0.0),
    ("evaluate.likelihood.*", 0.02, 0.0),  # 0.5 %
    # Distances between two sets of a few hundred images: those of real faces have 13. One level of
    # the pyramid moved by 7, others by 2.
    ("evaluate.samples.*.swd*", 0.1, 10.0),
    # Shares of a few hundred images, which move one at a time: 0.04.
    ("evaluate.samples.*.precision", 0.0, 0.1),
    ("evaluate.samples.*.recall", 0.0, 0.15),
    ("evaluate.samples.*.coverage", 0.0, 0.1),
    ("evaluate.samples.*.density", 0.15, 0.0),  # 4.7 %
    ("evaluate.samples.*", 0.05, 0.0),  # 1.4 %
    # 2,048 draws against 402 images, where 0.007 is chance: 0.002.
    ("zpoints.samplers.*", 0.1, 0.006),
    # Means over z-points and dimensions: 0.1 %.
    ("zpoints.*.z_radius_mean", 0.005, 0.0),
    ("zpoints.*.std_z_mean", 0.005, 0.0),
    ("zpoints.*.posterior_variance_mean", 0.005, 0.0),
    ("zpoints.*.effective_rank", 0.005, 0.0),
    # Small distances from N(0, I), and extremes over dimensions: 9 %, 7 %, 4 %.
    ("zpoints.*_distance*", 0.3, 0.0),
    ("zpoints.*.largest_correlation", 0.25, 0.0),
    ("zpoints.*.condition_number", 0.2, 0.0),
    ("zpoints.*.eigenvalue_*", 0.1, 0.0),  # 2.5 %
    ("zpoints.*", 0.08, 0.0),  # 2.1 %
    # One attribute may have ten images in test, and its AUC is good to 0.1: 0.02.
    ("attributes.auc.*", 0.0, 0.1),
    ("attributes.auc_mean", 0.02, 0.0),  # 0.0002 %, by the mean over 28
    ("attributes.factors.mig", 0.0, 0.005),  # 0.001
    ("attributes.factors.*", 0.05, 0.0),  # 0.7 %
)

# Discrete choices by the smallest of several distances, which may be all but equal: a rounding
# error can turn them. They are reported, not judged; the distances that decide them are judged.
CHOICES = (
    "train.chosen_epoch",
    "zpoints.samplers.best",
    "zpoints.samplers.temperature",
    "generate.sampler",
    "generate.temperature",
)
# What is measured on that choice, and can only be compared where it is the same.
OF_THE_CHOSEN = (
    "zpoints.samplers.test_*",
    "evaluate.samples.gaussian.*",
    "evaluate.samples.gmm.*",
    "evaluate.samples.ellipse.*",
)


def compare_metrics(
    committed: Mapping[str, Any], here: Mapping[str, Any], *, rule: str
) -> list[Row]:
    """Compare metrics within `TOLERANCES`, one row for each file.

    Args:
        committed: metrics by the name of their file, nested as in the files.
        here: the same of the run that is judged.
        rule: what the table says of the rule.
    """
    wanted, got = flatten(committed), flatten(here)
    chosen_alike = all(wanted.get(name) == got.get(name) for name in CHOICES)
    rows = []
    for file in sorted({*committed, *here}):
        names = [name for name in {**wanted, **got} if name.startswith(f"{file}.")]
        choices = [name for name in names if name in CHOICES]
        free = [] if chosen_alike else [name for name in names if _fits(name, OF_THE_CHOSEN)]
        judged = [name for name in names if name not in choices and name not in free]
        # 1 is as far as allowed.
        far = {name: _distance(name, wanted.get(name), got.get(name)) for name in judged}
        failed = [name for name in judged if far[name] > 1]
        notes = [
            f"{name.partition('.')[2]} {wanted.get(name)}, here {got.get(name)}"
            for name in (*failed[:4], *choices)
            if wanted.get(name) != got.get(name)
        ]
        if len(failed) > 4:
            notes.append(f"and {len(failed) - 4} more")
        if not failed and judged:
            farthest = max(judged, key=lambda name: far[name])
            notes.insert(
                0,
                f"{len(judged)} metrics agree; farthest {farthest.partition('.')[2]} "
                f"{wanted[farthest]}, here {got[farthest]}",
            )
        if free:
            notes.append(f"{len(free)} of the sampler chosen otherwise: not compared")
        rows.append(Row(f"data/metrics/{file}.json", rule, "; ".join(notes), passed=not failed))
    return rows


def _distance(name: str, wanted: Any, got: Any) -> float:
    """Return how far a metric is, in units of what is allowed."""
    if wanted == got:
        return 0.0
    if type(wanted) is not type(got) or not isinstance(wanted, (int, float)):
        return float("inf")
    for pattern, relative, absolute in TOLERANCES:
        # Counts are exact, but for those that a pattern names.
        named = pattern.rpartition(".")[2] == name.rpartition(".")[2]
        if fnmatchcase(name, pattern) and (named or isinstance(wanted, float)):
            return float(abs(got - wanted) / (relative * abs(wanted) + absolute))
    return float("inf")


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
