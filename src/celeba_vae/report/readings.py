"""What the metrics of a run say in words, and which commands follow from them.

The bounds between two words are conventions: they tell clear cases apart, and no test stands on
them.
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

# Fewer steps leave faces that are all alike, however many epochs they are.
_FEWEST_STEPS = 500
# Mean similarity (MS-SSIM) of two reconstructions above which they are one face.
_ALIKE = 0.9
# Share of the whole fall of the validation loss: less is no trend.
_TREND = 0.01
# Times the distance of other real faces, from which on patches are called blurred.
_SHARP, _BLURRED = 2, 4

_EXPERIMENT = "dvc exp run --temp -n"

Metrics = Mapping[str, Any]
Trend = Literal["falling", "rising", "flat", "unknown"]


class Reading(NamedTuple):
    """A metric as people read it.

    Attributes:
        name: what is read.
        value: the metric.
        yardstick: what it is held against.
        verdict: what that means, in a few words.
    """

    name: str
    value: str
    yardstick: str
    verdict: str


class Step(NamedTuple):
    """Something to do next: why, and the command."""

    why: str
    command: str


def readings(metrics: Metrics, losses: Sequence[float]) -> list[Reading]:
    """Return whether a run is good, metric by metric; what it has not is left out.

    Of a model whose faces are all alike only that is said: its other metrics would mislead.

    Args:
        metrics: as `report.metrics.read_metrics` returns them.
        losses: the loss on validation images after each epoch, nats per image.
    """
    if _alike(metrics):
        read = [_reconstructions(metrics), _likelihood(metrics)]
        return [reading for reading in read if reading is not None]
    read = [
        _training(losses),
        _reconstructions(metrics),
        _sharpness(metrics),
        _places(metrics["zpoints"]["validation"]),
        _sampler(metrics["zpoints"]["samplers"]),
        _generated(metrics),
        _diversity(metrics),
        _copies(metrics),
        _likelihood(metrics),
    ]
    return [reading for reading in read if reading is not None]


def next_steps(
    metrics: Metrics,
    losses: Sequence[float],
    differing: Mapping[str, Any],
    groups: Metrics,
) -> list[Step]:
    """Return the two or three commands that follow from a run, the most urgent first.

    Args:
        metrics: as `report.metrics.read_metrics` returns them.
        losses: the loss on validation images after each epoch, nats per image.
        differing: the parameters that are not the defaults, by their whole names; the commands
            set them again, because an experiment starts from params.yaml.
        groups: all parameters by group.
    """
    train = groups["train"]
    training = _steps_of_training(metrics["train"], trend(losses), differing, train)
    if _alike(metrics):
        taken = metrics["train"]["epochs"] * _steps_of_epoch(metrics["train"], train)
        if taken >= _FEWEST_STEPS and groups["model"]["variational"]:
            weaker = {"train.kl_weight": train["kl_weight"] / 10}
            why = "All faces are alike, perhaps because the KL loss weighs too much"
            return [Step(why, _experiment("weaker", {**differing, **weaker}))]
        return training
    steps = [
        *training,
        *_steps_of_comparison(differing),
        _step_of_source(groups["download"]["source"], differing),
    ]
    if _times_floor(metrics) >= _BLURRED and train["loss"] == "bernoulli":
        sharp = {"train.loss": "gaussian", "train.sigma": "optimal", "train.kl_weight": 1}
        steps.append(
            Step(
                "Sharper faces need a Gaussian loss; the fitted samplers then generate better ones "
                "than N(0, I)",
                _experiment("sharp", {**differing, **sharp}),
            )
        )
    return steps[:3]


def trend(losses: Sequence[float]) -> Trend:
    """Return where the loss on validation images goes at the end of the training."""
    if len(losses) < 2:
        return "unknown"
    lowest, span = min(losses), max(losses) - min(losses)
    before = losses[-1 - _last_epochs(losses)]
    if losses[-1] - lowest > _TREND * span and losses.index(lowest) < 0.75 * (len(losses) - 1):
        return "rising"
    return "falling" if before - losses[-1] > _TREND * span else "flat"


def _last_epochs(losses: Sequence[float]) -> int:
    return max(len(losses) // 5, 1)


def _training(losses: Sequence[float]) -> Reading:
    value = f"{losses[-1]:,.0f} nats per image after {_counted(len(losses), 'epoch')}"
    name, way = "Loss, validation", trend(losses)
    if way == "unknown":
        return Reading(name, value, "none: a trend needs two epochs", "not known")
    back = _last_epochs(losses)
    yardstick = f"{_counted(back, 'epoch')} earlier: {losses[-1 - back]:,.0f}"
    if way == "rising":
        best = losses.index(min(losses)) + 1
        yardstick = f"lowest after epoch {best}: {min(losses):,.0f}"
    verdict = {
        "falling": "still falling: more epochs would help",
        "rising": "rising: the model learns its training images by heart",
        "flat": "no longer falling",
    }[way]
    return Reading(name, value, yardstick, verdict)


def _reconstructions(metrics: Metrics) -> Reading:
    quality = metrics["generate"]
    value = f"{quality['psnr_db_mean']:.1f} dB PSNR, {quality['ssim_mean']:.3f} SSIM"
    return Reading(
        "Reconstructions, validation",
        value,
        "equal images: SSIM 1",
        "all alike: nothing has been learnt yet"
        if _alike(metrics)
        else "each image gets a face of its own",
    )


def _sharpness(metrics: Metrics) -> Reading:
    compared, times = metrics["evaluate"]["samples"], _times_floor(metrics)
    if times < _SHARP:
        verdict = "as sharp as real faces"
    else:
        much = "blurred" if times >= _BLURRED else "a little blurred"
        verdict = f"{much}: {_rounded(times)} times the floor"
    return Reading(
        "Sharpness of reconstructions",
        f"SWD {compared['reconstructions']['swd']:.0f}",
        f"floor, other real faces: {compared['validation']['swd']:.0f}",
        verdict,
    )


def _places(validation: Metrics) -> Reading:
    mean, chi = validation["z_radius_mean"], validation["chi_mean"]
    # In the shell's own thickness.
    distance = (mean - chi) / validation["chi_std"]
    if abs(distance) < 1:
        verdict = "on the shell of N(0, I)"
    elif abs(distance) < 3:
        verdict = f"near the shell, a little {'outside' if distance > 0 else 'inside'} it"
    else:
        verdict = f"far {'outside' if distance > 0 else 'inside'} the shell: N(0, I) misses them"
    return Reading(
        "Where the z-points lie: |z|, validation",
        f"{mean:.2f} ± {validation['z_radius_std']:.2f}",
        f"N(0, I): {chi:.2f} ± {validation['chi_std']:.2f}",
        verdict,
    )


def _sampler(samplers: Metrics) -> Reading | None:
    best = samplers["best"]
    distance, normal = (samplers.get(f"{name}_energy_distance") for name in (best, "normal"))
    if distance is None or normal is None:
        return None
    if best == "normal":
        verdict, yardstick = "N(0, I) itself is the closest to the z-points", "other samplers: more"
    else:
        verdict, yardstick = "the closest to the z-points of validation", f"N(0, I): {normal:.3f}"
    return Reading("Best sampler", f"{best}, energy distance {distance:.3f}", yardstick, verdict)


def _generated(metrics: Metrics) -> Reading | None:
    best, compared = metrics["zpoints"]["samplers"]["best"], metrics["evaluate"]["samples"]
    if best not in compared:
        return None
    swd, reconstructed = compared[best]["swd"], compared["reconstructions"]["swd"]
    return Reading(
        f"Generated faces, {best}",
        f"SWD {swd:.0f}",
        f"reconstructions: {reconstructed:.0f}",
        "as sharp as reconstructions"
        if swd < 1.2 * reconstructed
        else "worse than reconstructions: the sampler misses the z-points",
    )


def _diversity(metrics: Metrics) -> Reading | None:
    best, compared = metrics["zpoints"]["samplers"]["best"], metrics["evaluate"]["samples"]
    recall, real = (compared.get(name, {}).get("recall") for name in (best, "validation"))
    if recall is None or not real:
        return None
    share = recall / real
    if share < 0.1:
        verdict = "hardly any diversity"
    elif share < 0.6:
        verdict = "much less diverse than real faces"
    else:
        verdict = "less diverse than real faces" if share < 0.9 else "as diverse as real faces"
    return Reading(
        f"Diversity of generated faces, {best}",
        f"recall {recall:.2f}",
        f"other real faces: {real:.2f}",
        verdict,
    )


def _copies(metrics: Metrics) -> Reading | None:
    best, compared = metrics["zpoints"]["samplers"]["best"], metrics["evaluate"]["samples"]
    ratio = compared.get(best, {}).get("memorisation_ratio")
    if ratio is None:
        return None
    copies = compared[best].get("copies_of_train", 0)
    if copies:
        verdict = f"{_counted(copies, 'copy', 'copies')} of training images"
    else:
        verdict = "very close to training images" if ratio < 0.5 else "no copies"
    return Reading(
        "Copies of training images",
        f"memorisation ratio {ratio:.2f}",
        "real test faces: 1; copies: 0",
        verdict,
    )


def _likelihood(metrics: Metrics) -> Reading | None:
    bits = metrics["evaluate"].get("likelihood", {}).get("bound_bits_per_dimension")
    if bits is None:
        return None
    return Reading(
        "Likelihood, test",
        f"{bits:.2f} bits for a value of a pixel",
        "uniform guess: 8",
        "better than a guess" if bits < 8 else "no better than a guess",
    )


def _alike(metrics: Metrics) -> bool:
    similarity = metrics["evaluate"]["samples"]["reconstructions"].get("pair_similarity")
    return similarity is not None and similarity > _ALIKE


def _times_floor(metrics: Metrics) -> float:
    compared = metrics["evaluate"]["samples"]
    floor, swd = compared["validation"]["swd"], compared["reconstructions"]["swd"]
    if swd <= floor:
        return 1.0
    return float(swd / floor) if floor > 0 else math.inf


def _steps_of_training(
    metrics: Metrics, way: Trend, differing: Mapping[str, Any], train: Metrics
) -> list[Step]:
    of_an_epoch = _steps_of_epoch(metrics, train)
    steps = of_an_epoch * metrics["epochs"]
    if steps < _FEWEST_STEPS:
        enough = {"train.epochs": math.ceil(_FEWEST_STEPS / of_an_epoch)}
        why = (
            f"{_counted(steps, 'step')} of training are too few: faces that differ from each "
            f"other need some {_FEWEST_STEPS}"
        )
        return [Step(why, _experiment("longer", {**differing, **enough}))]
    if way == "falling":
        more = {"train.epochs": 2 * metrics["epochs"]}
        # A cosine is spread over all epochs, so that more of them are another training.
        afresh = train["learning_rate_schedule"] == "cosine"
        how = "in a training of its own" if afresh else "which go on from here"
        why = f"The validation loss still falls: twice the epochs, {how}"
        return [Step(why, _experiment("longer", {**differing, **more}))]
    if way == "rising":
        best = {"train.select": "best"}
        why = "The validation loss rises: keep the weights of the best epoch"
        return [Step(why, _experiment("best", {**differing, **best}))]
    return []


def _steps_of_epoch(metrics: Metrics, train: Metrics) -> int:
    return math.ceil(int(metrics["training_images"]) / int(train["batch_size"]))


def _steps_of_comparison(differing: Mapping[str, Any]) -> list[Step]:
    if not differing:
        return []
    why = "What the other parameters changed, beside the run with the defaults"
    return [Step(why, "celeba-vae compare baseline workspace")]


def _step_of_source(source: str, differing: Mapping[str, Any]) -> Step:
    if source != "synthetic":
        why = "The model has seen photographs: show it one of yours"
        return Step(why, "celeba-vae reconstruct photo.jpg")
    kept = {key: value for key, value in differing.items() if not key.startswith("download.")}
    own = {"download.source": "local", "download.path": "/path/to/your/photos"}
    return Step(
        "The model has seen synthetic faces alone, and photographs come back as drawings: "
        "train one on your own, a few hundred at least",
        _experiment("own", kept | own),
    )


def _experiment(name: str, values: Mapping[str, Any]) -> str:
    settings = [f"-S {shlex.quote(f'{key}={_as_yaml(value)}')}" for key, value in values.items()]
    return " ".join([_EXPERIMENT, name, *settings])


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _rounded(times: float) -> str:
    return f"{times:.0f}" if math.isfinite(times) else "many"


def _counted(number: int, thing: str, things: str = "") -> str:
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
