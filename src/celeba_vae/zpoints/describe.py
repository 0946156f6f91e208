"""Write what is known about the z-points of all splits: figures, tables and plots."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from celeba_vae.latent.distances import (
    classifier_two_sample,
    energy_summary,
    henze_zirkler,
    mardia,
    subsample,
    subsample_rows,
)
from celeba_vae.latent.fitting import fit_ellipse, fit_gaussian
from celeba_vae.latent.kl_decomposition import rate_split
from celeba_vae.latent.samplers import draw_normal
from celeba_vae.latent.statistics import (
    Floats,
    Points,
    component_table,
    correlation,
    covariance_summary,
    dimension_table,
    expected_ks_distance,
    histogram_table,
    is_flat,
    mahalanobis_law,
    mahalanobis_summary,
    marchenko_pastur_eigenvalues,
    mean_and_covariance,
    radii,
    radius_summary,
    radius_table,
    squared_mahalanobis,
    strongest_pairs,
)
from celeba_vae.params import ZpointsParams
from celeba_vae.plots import distributions as plots
from celeba_vae.plots import planes
from celeba_vae.runtime.files import atomic_path, write_bytes, write_tsv
from celeba_vae.zpoints.encode import Encoded

# Points of each cloud in an energy distance, and in the tests of `full`.
ENERGY_POINTS = 2048
TEST_POINTS = 2048
# Images in a picture of a projection: more only hide each other.
PROJECTED_IMAGES = 3000

# So many single components are shown: enough to see a pattern, few enough for one picture.
_COMPONENTS = 12
_PAIRS = 6
_SHOWN_ATTRIBUTES = (
    "Male",
    "Smiling",
    "Eyeglasses",
    "Young",
    "Blond_Hair",
    "Black_Hair",
    "Wearing_Hat",
    "Pale_Skin",
    "Bangs",
    "Mouth_Slightly_Open",
)
_ATTRIBUTE_PANELS = 8

Tables = Mapping[str, Mapping[str, NDArray[Any]]]
Moments = tuple[Floats, Floats]


def describe_splits(
    splits: Mapping[str, Encoded], *, params: ZpointsParams
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, NDArray[Any]]]]:
    """Return the figures of each split, ready for JSON, and its table of dimensions.

    What the figures are, with unit and source, stands in `zpoints.schema.json` and in the
    docstrings of the functions that this one calls. What needs log_var is missing for a plain
    autoencoder, what needs more images than dimensions where there are fewer.

    Args:
        splits: the z-points by the name of the split; one of them is `train`.
        params: the parameters of the stage.
    """
    train = {cloud: mean_and_covariance(getattr(splits["train"], cloud)) for cloud in ("mu", "z")}
    figures, tables = {}, {}
    for name, split in splits.items():
        table = dimension_table(
            split.mu, split.log_var, split.z, active_variance=params.active_variance
        )
        described: dict[str, Any] = {
            "images": len(split.z),
            "z_dim": split.z.shape[1],
            "active_dimensions": int(table["active"].sum()),
        }
        if split.log_var is not None:
            described |= {
                "kl_nats_per_image": float(table["kl"].sum()),
                "posterior_variance_mean": float(table["posterior_variance"].mean()),
                "rate": rate_split(split.mu, split.log_var, split.z, seed=params.seed),
            }
        for cloud in ("mu", "z"):
            columns = {
                key.removeprefix(f"{cloud}_"): column
                for key, column in table.items()
                if key.startswith(f"{cloud}_")
            }
            described[cloud] = _describe_cloud(
                getattr(split, cloud),
                columns,
                train[cloud],
                fitted=len(splits["train"].z),
                own=name == "train",
                seed=params.seed,
            )
        if params.tests == "full":
            tests = _describe_normality(split.z, seed=params.seed)
            described |= {"normality": tests} if tests else {}
        figures[name], tables[name] = described, table
    return figures, tables


def metrics_of(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the few figures of each split that tell how the KL loss confines it, for git."""
    chosen = {}
    for name, split in figures.items():
        z, mu = split["z"], split["mu"]
        rate = split.get("rate", {})
        kept = ("index_code_mutual_information", "total_correlation", "dimension_wise_kl")
        own = ("images", "z_dim", "kl_nats_per_image", "active_dimensions")
        chosen[name] = {
            **{key: split[key] for key in own if key in split},
            **{key: rate[key] for key in kept if key in rate},
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
            **{key: split[key] for key in ("posterior_variance_mean",) if key in split},
            "z_ks_distance_mean": z["dimensions"]["ks_distance_mean"],
            "z_energy_distance": z["energy"]["energy_distance"],
            "largest_correlation": z["shape"]["largest_correlation"],
            "eigenvalue_max": z["shape"]["eigenvalue_max"],
            "eigenvalue_min": z["shape"]["eigenvalue_min"],
            "condition_number": z["shape"]["condition_number"],
            "effective_rank": z["shape"]["effective_rank"],
        }
    return chosen


def write_tables(folder: Path, splits: Mapping[str, Encoded], tables: Tables) -> None:
    """Write the tables: zpoints.csv, radius.tsv, components.tsv, eigenvalues.tsv.

    Args:
        folder: where to write. `zpoints.csv` has a row for each split and dimension (see
            `dimension_table`; active is 0 or 1). The others are what DVC plots: histograms of |z|
            for each split beside the chi density; of the training images, histograms of the
            strongest dimensions beside N(0, 1), and the eigenvalues of the covariances of z and mu
            beside those of a sample of N(0, I).
        splits: the z-points by the name of the split; one of them is `train`.
        tables: see `describe_splits`.
    """
    train = splits["train"]
    z_dim = train.z.shape[1]
    with (
        atomic_path(folder / "zpoints.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["split", *tables["train"]])
        for name, table in tables.items():
            columns = [_cells(column) for column in table.values()]
            rows.writerows([name, *row] for row in zip(*columns, strict=True))
    lengths = {name: radii(split.z) for name, split in splits.items()}
    _write_columns(folder / "radius.tsv", radius_table(lengths, z_dim))
    strongest, _ = strongest_dimensions(tables["train"])
    _write_columns(folder / "components.tsv", component_table(train.z, strongest[:_COMPONENTS]))
    _write_columns(
        folder / "eigenvalues.tsv",
        {
            "rank": np.arange(1, z_dim + 1),
            "z": covariance_summary(train.z)["eigenvalues"],
            "mu": covariance_summary(train.mu)["eigenvalues"],
            "normal": marchenko_pastur_eigenvalues(len(train.z), z_dim),
        },
    )


def write_plots(
    folder: Path,
    splits: Mapping[str, Encoded],
    figures: Mapping[str, Mapping[str, Any]],
    tables: Tables,
    attributes: Mapping[str, NDArray[np.bool_]],
    *,
    params: ZpointsParams,
) -> None:
    """Write the plots of where the z-points lie, of the training images unless they say else.

    Args:
        folder: where to write: radius, dimensions, normality, components, eigenvalues,
            mahalanobis, rate, planes, principal, attributes, and with `zpoints.tests: full` tsne,
            each as .png. Those that need log_var, more images than dimensions, two dimensions or
            attributes are left out where there are none.
        splits: the z-points by the name of the split; one of them is `train`.
        figures: see `describe_splits`.
        tables: see `describe_splits`.
        attributes: (training images,) each, by name.
        params: the parameters of the stage.
    """
    train, table = splits["train"], tables["train"]
    count, z_dim = train.z.shape
    clouds = ("z", "mu") if train.log_var is not None else ("z",)
    strongest, ranked_by = strongest_dimensions(table)
    lengths = {
        cloud: {name: radii(getattr(split, cloud)) for name, split in splits.items()}
        for cloud in clouds
    }
    write_bytes(
        folder / "radius.png",
        plots.plot_radius(
            {cloud: radius_table(each, z_dim) for cloud, each in lengths.items()},
            z_dim,
        ),
    )
    write_bytes(folder / "dimensions.png", plots.plot_dimensions(table, strongest))
    write_bytes(
        folder / "normality.png",
        plots.plot_normality(table, expected_ks=expected_ks_distance(count), images=count),
    )
    write_bytes(
        folder / "components.png",
        plots.plot_components(
            component_table(train.z, strongest[:_COMPONENTS]),
            strongest[:_COMPONENTS],
            ranked_by=ranked_by,
        ),
    )
    write_bytes(
        folder / "eigenvalues.png",
        plots.plot_eigenvalues(
            {cloud: covariance_summary(getattr(train, cloud))["eigenvalues"] for cloud in clouds},
            marchenko_pastur_eigenvalues(count, z_dim),
            images=count,
        ),
    )
    rates = {name: split["rate"] for name, split in figures.items() if "rate" in split}
    if rates:
        write_bytes(folder / "rate.png", plots.plot_rate(rates))
    mean, covariance = mean_and_covariance(train.z)
    if _has_mahalanobis(count, covariance):
        squared = {
            name: squared_mahalanobis(split.z, mean, covariance) for name, split in splits.items()
        }
        laws = {
            f"if z were normal: {label}": mahalanobis_law(count, z_dim, own=own)
            for label, own in ((f"these {count:,} training images", True), ("new images", False))
        }
        chi2 = mahalanobis_law(10**9 * z_dim, z_dim, own=False)
        write_bytes(
            folder / "mahalanobis.png",
            plots.plot_mahalanobis(
                histogram_table(squared, chi2, name="squared", of="chi2"),
                z_dim,
                laws,
            ),
        )
    if z_dim > 1:
        pairs = strongest_pairs(covariance, count=_PAIRS)
        related = correlation(covariance)
        write_bytes(
            folder / "planes.png",
            planes.plot_planes(train.z, pairs, [float(related[pair]) for pair in pairs]),
        )
        _plot_principal(folder / "principal.png", train.z, pairs[0])
        _plot_attributes(folder, train.mu, attributes, params=params)


def strongest_dimensions(table: Mapping[str, NDArray[Any]]) -> tuple[list[int], str]:
    """Return the dimensions in the order of their KL, or without one of the deviation of mu."""
    key, name = ("kl", "KL") if "kl" in table else ("mu_std", "deviation")
    return np.argsort(-table[key], kind="stable").tolist(), name


def _describe_cloud(
    points: Points,
    columns: Mapping[str, NDArray[Any]],
    moments: Moments,
    *,
    fitted: int,
    own: bool,
    seed: int,
) -> dict[str, Any]:
    count, z_dim = points.shape
    shape = covariance_summary(points)
    eigenvalues = shape.pop("eigenvalues")
    sample = subsample(points, count=ENERGY_POINTS, seed=seed)
    # Another seed than the samplers', whose draws would be these very points.
    normal = draw_normal(ENERGY_POINTS, z_dim, seed + 2**32).astype(np.float64)
    described: dict[str, Any] = {
        "dimensions": {
            "mean_rms": float(np.sqrt((columns["mean"] ** 2).mean())),
            "std_mean": float(columns["std"].mean()),
            "skewness_rms": float(np.sqrt((columns["skewness"] ** 2).mean())),
            "excess_kurtosis_mean": float(columns["excess_kurtosis"].mean()),
            "ks_distance_mean": float(columns["ks_distance"].mean()),
            "ks_distance_expected": expected_ks_distance(count),
            "wasserstein_distance_mean": float(columns["wasserstein_distance"].mean()),
        },
        "radius": radius_summary(points),
        "shape": {
            **shape,
            "centre_distance_expected": float(np.sqrt(z_dim / count)),
            "eigenvalue_max": float(eigenvalues[0]),
            "eigenvalue_min": float(eigenvalues[-1]),
        },
        "energy": energy_summary(sample, normal),
    }
    if _has_mahalanobis(fitted, moments[1]):
        squared = squared_mahalanobis(points, *moments)
        described["mahalanobis"] = mahalanobis_summary(
            squared, fitted=fitted, dimensions=z_dim, own=own
        )
    return described


def _has_mahalanobis(fitted: int, covariance: Floats) -> bool:
    # With fewer, the distances of new points have no mean.
    return fitted > len(covariance) + 2 and not is_flat(covariance)


def _describe_normality(z: Points, *, seed: int) -> dict[str, Any]:
    sample = subsample(z, count=TEST_POINTS, seed=seed)
    if not _has_mahalanobis(len(sample), mean_and_covariance(sample)[1]):
        return {}
    normal = draw_normal(len(sample), z.shape[1], seed + 2**32).astype(np.float64)
    return {
        "points": len(sample),
        "mardia": mardia(sample),
        "henze_zirkler": henze_zirkler(sample),
        "classifier_two_sample": classifier_two_sample(sample, normal, seed=seed),
    }


def _plot_principal(path: Path, z: Points, pair: tuple[int, int]) -> None:
    ellipse = fit_ellipse(fit_gaussian(z))
    widest, two = ellipse.axes[:, :2], ellipse.deviations[:2]
    # In z's own precision: a second copy of all of z would only serve a picture.
    along = z @ widest.astype(z.dtype) - ellipse.mean @ widest
    white = along / np.where(two > 0, two, 1)
    write_bytes(
        path,
        planes.plot_principal(
            {
                f"Before: two dimensions\nz in dimension {pair[0]} | z in dimension {pair[1]}": z[
                    :, list(pair)
                ],
                "Turned: the widest axes\nprincipal component 1 (unit of z) | "
                "principal component 2 (unit of z)": along,
                "Whitened\nprincipal component 1 (deviations) | "
                "principal component 2 (deviations)": white,
            },
        ),
    )


def _plot_attributes(
    folder: Path,
    mu: Points,
    attributes: Mapping[str, NDArray[np.bool_]],
    *,
    params: ZpointsParams,
) -> None:
    rows = subsample_rows(len(mu), count=PROJECTED_IMAGES, seed=params.seed)
    varying = [
        name
        for name in _SHOWN_ATTRIBUTES
        if name in attributes and 0 < attributes[name][rows].mean() < 1
    ]
    shown = {name: attributes[name][rows] for name in varying[:_ATTRIBUTE_PANELS]}
    if not shown:
        return
    ellipse = fit_ellipse(fit_gaussian(mu))
    share = ellipse.deviations**2 / max((ellipse.deviations**2).sum(), 1e-300)
    points = mu[rows].astype(np.float64)
    write_bytes(
        folder / "attributes.png",
        planes.plot_attributes(
            (points - ellipse.mean) @ ellipse.axes[:, :2],
            shown,
            title=f"mu of {len(rows):,} training images along its two widest principal axes",
            axis_labels=(
                f"principal component 1 (unit of z), {share[0]:.0%} of the variance",
                f"principal component 2 (unit of z), {share[1]:.0%} of the variance",
            ),
        ),
    )
    if params.tests == "full" and len(rows) > 100:
        # Started at the principal axes, it needs no luck; its scale means nothing.
        tsne = TSNE(perplexity=30, init="pca", random_state=params.seed, n_jobs=1)
        write_bytes(
            folder / "tsne.png",
            planes.plot_attributes(
                tsne.fit_transform(points),
                shown,
                title=f"mu of {len(rows):,} training images, t-SNE with perplexity 30",
                axis_labels=("t-SNE 1 (no unit)", "t-SNE 2 (no unit)"),
            ),
        )


def _cells(column: NDArray[Any]) -> list[Any]:
    if column.dtype == bool:
        column = column.astype(int)
    # Six digits, as in all tables.
    return [float(f"{cell:.6g}") if isinstance(cell, float) else cell for cell in column.tolist()]


def _write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    write_tsv(path, list(columns), list(rows))
