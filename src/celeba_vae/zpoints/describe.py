"""Statistics of each split of z-points, and the choice of them that are metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.distances import (
    ENERGY_POINTS,
    classifier_two_sample,
    energy_summary,
    henze_zirkler,
    mardia,
    subsample,
)
from celeba_vae.latent.kl_decomposition import decompose_kl
from celeba_vae.latent.samplers import draw_normal
from celeba_vae.latent.statistics import (
    covariance_summary,
    dimension_table,
    expected_ks_distance,
    has_mahalanobis,
    mahalanobis_summary,
    radius_summary,
    squared_mahalanobis,
)
from celeba_vae.params import ZpointsParams
from celeba_vae.runtime.arrays import Floats
from celeba_vae.zpoints.encode import Encoded

# Points in the tests of `full`.
TEST_POINTS = 2048
# A dimension is informative if its KL, in nats, is above this. Nearly all dimensions are active by
# the variance of mu, though most carry some hundredths of a nat.
INFORMATIVE_KL = 0.1


@dataclass(frozen=True)
class Described:
    """The statistics of a split of n images.

    Attributes:
        values: ready for JSON; unit and source of each are in `zpoints.schema.json` and in the
            docstrings of the functions that compute them. What needs log_var is missing for a
            plain autoencoder, what needs more images than dimensions where there are fewer.
        dimensions: see `dimension_table`.
        mahalanobis: squared distance of each z from the training cloud of z, (n,); None where it
            is not defined.
    """

    values: dict[str, Any]
    dimensions: dict[str, NDArray[Any]]
    mahalanobis: Floats | None


def describe_splits(
    splits: Mapping[str, Encoded], *, params: ZpointsParams
) -> dict[str, Described]:
    """Return the statistics of each split.

    Args:
        splits: the z-points by the name of the split; one of them is `train`.
        params: the parameters of the stage.
    """
    return {name: _describe(split, splits["train"], params) for name, split in splits.items()}


def metrics_of(described: Mapping[str, Described]) -> dict[str, dict[str, Any]]:
    """Return the few values of each split that tell how the KL loss confines it, for git."""
    chosen = {}
    for name, split in described.items():
        values = split.values
        z, mu = values["z"], values["mu"]
        decomposition = values.get("rate", {})
        parts = ("index_code_mutual_information", "total_correlation", "dimension_wise_kl")
        counts = ("active_dimensions", "informative_dimensions")
        of_split = ("images", "z_dim", "kl_nats_per_image", *counts)
        chosen[name] = {
            **{key: values[key] for key in of_split if key in values},
            **{key: decomposition[key] for key in parts if key in decomposition},
            "z_radius_mean": z["radius"]["mean"],
            "z_radius_std": z["radius"]["std"],
            "mu_radius_mean": mu["radius"]["mean"],
            "mu_radius_std": mu["radius"]["std"],
            "chi_mean": z["radius"]["chi_mean"],
            "chi_std": z["radius"]["chi_std"],
            "z_radius_ks_distance": z["radius"]["ks_distance"],
            "z_radius_wasserstein_distance": z["radius"]["wasserstein_distance"],
            "centre_distance": z["shape"]["centre_distance"],
            "mean_z_rms": z["dimensions"]["mean_rms"],
            "std_z_mean": z["dimensions"]["std_mean"],
            "std_mu_mean": mu["dimensions"]["std_mean"],
            **{key: values[key] for key in ("posterior_variance_mean",) if key in values},
            "z_ks_distance_mean": z["dimensions"]["ks_distance_mean"],
            "z_energy_distance": z["energy"]["energy_distance"],
            "largest_correlation": z["shape"]["largest_correlation"],
            "eigenvalue_max": z["shape"]["eigenvalue_max"],
            "eigenvalue_min": z["shape"]["eigenvalue_min"],
            "condition_number": z["shape"]["condition_number"],
            "effective_rank": z["shape"]["effective_rank"],
        }
    return chosen


def strongest_dimensions(dimensions: Mapping[str, NDArray[Any]]) -> tuple[list[int], str]:
    """Return the dimensions in the order of their KL, or without one of the deviation of mu."""
    key, name = ("kl", "KL") if "kl" in dimensions else ("mu_std", "deviation")
    return np.argsort(-dimensions[key], kind="stable").tolist(), name


def _describe(split: Encoded, train: Encoded, params: ZpointsParams) -> Described:
    table = dimension_table(
        split.mu.points, split.log_var, split.z.points, active_variance=params.active_variance
    )
    values: dict[str, Any] = {
        "images": len(split.z),
        "z_dim": split.z.dimensions,
        "active_dimensions": int(table["active"].sum()),
    }
    if split.log_var is not None:
        values |= {
            "informative_dimensions": int((table["kl"] > INFORMATIVE_KL).sum()),
            "kl_nats_per_image": float(table["kl"].sum()),
            "posterior_variance_mean": float(table["posterior_variance"].mean()),
            "rate": decompose_kl(split.mu.points, split.log_var, split.z.points, seed=params.seed),
        }
    squared: dict[str, Floats] = {}
    for name, cloud, fitted in (("mu", split.mu, train.mu), ("z", split.z, train.z)):
        values[name] = _describe_cloud(cloud, _columns_of(name, table), seed=params.seed)
        if has_mahalanobis(fitted):
            squared[name] = squared_mahalanobis(cloud.points, fitted)
            values[name]["mahalanobis"] = mahalanobis_summary(
                squared[name], fitted=len(fitted), dimensions=fitted.dimensions, own=cloud is fitted
            )
    if params.tests == "full":
        tests = _describe_normality(split.z, seed=params.seed)
        values |= {"normality": tests} if tests else {}
    return Described(values, table, squared.get("z"))


def _columns_of(cloud: str, table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {
        key.removeprefix(f"{cloud}_"): column
        for key, column in table.items()
        if key.startswith(f"{cloud}_")
    }


def _describe_cloud(
    cloud: Cloud, columns: Mapping[str, NDArray[Any]], *, seed: int
) -> dict[str, Any]:
    sample = subsample(cloud.points, count=ENERGY_POINTS, seed=seed)
    return {
        "dimensions": {
            "mean_rms": float(np.sqrt((columns["mean"] ** 2).mean())),
            "std_mean": float(columns["std"].mean()),
            "skewness_rms": float(np.sqrt((columns["skewness"] ** 2).mean())),
            "excess_kurtosis_mean": float(columns["excess_kurtosis"].mean()),
            "ks_distance_mean": float(columns["ks_distance"].mean()),
            "ks_distance_expected": expected_ks_distance(len(cloud)),
            "wasserstein_distance_mean": float(columns["wasserstein_distance"].mean()),
        },
        "radius": radius_summary(cloud),
        "shape": {
            **covariance_summary(cloud),
            "centre_distance_expected": float(np.sqrt(cloud.dimensions / len(cloud))),
            "eigenvalue_max": float(cloud.eigenvalues[0]),
            "eigenvalue_min": float(cloud.eigenvalues[-1]),
        },
        "energy": energy_summary(sample, _normal(ENERGY_POINTS, cloud.dimensions, seed)),
    }


def _describe_normality(z: Cloud, *, seed: int) -> dict[str, Any]:
    sample = subsample(z.points, count=TEST_POINTS, seed=seed)
    if not has_mahalanobis(Cloud(sample)):
        return {}
    normal = _normal(len(sample), z.dimensions, seed)
    return {
        "points": len(sample),
        "mardia": mardia(sample),
        "henze_zirkler": henze_zirkler(sample),
        "classifier_two_sample": classifier_two_sample(sample, normal, seed=seed),
    }


def _normal(n: int, z_dim: int, seed: int) -> Floats:
    # Another seed than the samplers', whose draws would be these very points.
    return draw_normal(n, z_dim, seed + 2**32).astype(np.float64)
