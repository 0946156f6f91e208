"""The few metrics that tell one run from another: what DVC shows, compares and plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from celeba_vae.report.metrics import FIX
from celeba_vae.runtime.errors import UserError


@dataclass(frozen=True)
class KeyMetric:
    """What a key metric means, for people.

    Attributes:
        meaning: what it is, in a few words.
        unit: of its value, or what it is held against; "" where there is neither.
        decimals: so many are kept: the next one says nothing.
        better: which of two values is the better one; "" where neither is.
    """

    meaning: str
    unit: str
    decimals: int
    better: Literal["lower", "higher", ""]


# In the order in which DVC shows them, with names so short that eight of them fit into 120 columns
# of `dvc exp show`, and all of them into `dvc metrics show`.
KEY_METRICS: Mapping[str, KeyMetric] = {
    "encoder": KeyMetric("weights of the Encoder", "", 0, ""),
    "decoder": KeyMetric("weights of the Decoder", "", 0, ""),
    "step_mb": KeyMetric("what a training step holds, by its shapes", "MB", 1, "lower"),
    "psnr": KeyMetric("reconstructions, validation", "dB", 2, "higher"),
    "ssim": KeyMetric("reconstructions, validation", "of 1", 4, "higher"),
    "kl": KeyMetric("KL loss, validation", "nats per image", 3, ""),
    "radius": KeyMetric("mean |z|, validation", "N(0, I): about √z_dim", 2, ""),
    "z_std": KeyMetric("deviation of a dimension of z, validation", "N(0, I): 1", 3, ""),
    "swd": KeyMetric("patches of generated faces against test", "", 1, "lower"),
    "recall": KeyMetric("share of test within the generated faces", "of 1", 3, "higher"),
    "bits": KeyMetric("bits for a value of a pixel, test", "of 8", 3, "lower"),
}


def key_metrics(metrics: Mapping[str, Any]) -> dict[str, float | int]:
    """Return the key metrics of a run, rounded for people, in the order of KEY_METRICS.

    What the run has not is left out: `kl` and `bits` of a plain autoencoder, `recall` where there
    are too few test images. `swd` and `recall` are of the sampler that did best on validation.

    Args:
        metrics: as `read_metrics` returns them.

    Raises:
        UserError: the faces of that sampler were not measured.
    """
    train, validation = metrics["train"], metrics["zpoints"]["validation"]
    sampler, samples = metrics["zpoints"]["samplers"]["best"], metrics["evaluate"]["samples"]
    if sampler not in samples:
        raise UserError(f"evaluate.json: samples.{sampler} is missing; {FIX}")
    values = {
        "encoder": train["encoder_parameters"],
        "decoder": train["decoder_parameters"],
        "step_mb": train["step_bytes"] / 1e6,
        "psnr": metrics["generate"]["psnr_db_mean"],
        "ssim": metrics["generate"]["ssim_mean"],
        "kl": validation.get("kl_nats_per_image"),
        "radius": validation["z_radius_mean"],
        "z_std": validation["std_z_mean"],
        "swd": samples[sampler]["swd"],
        "recall": samples[sampler].get("recall"),
        "bits": metrics["evaluate"].get("likelihood", {}).get("bound_bits_per_dimension"),
    }
    return {
        name: round(values[name], of.decimals or None)
        for name, of in KEY_METRICS.items()
        if values[name] is not None
    }


def shown(name: str, value: float, *, signed: bool = False) -> str:
    """Return a value of a key metric for people, without its unit; `signed` shows a plus, too."""
    text = f"{value:{'+' if signed else ''},.{KEY_METRICS[name].decimals}f}"
    # Of -0.001 with two decimals the sign alone would be left.
    return text if text.strip("+-0.,") else text.lstrip("+-")


def reading(name: str) -> str:
    """Return how to read a key metric: its unit, and which value is the better one."""
    of = KEY_METRICS[name]
    return "; ".join(filter(None, [of.unit, of.better and f"{of.better} is better"]))
