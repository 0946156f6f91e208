"""Samplers that are compared, each at a temperature."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from celeba_vae.latent.samplers import SAMPLERS, FittedSamplers, draw
from celeba_vae.params import Sampler

# How many z-points to draw, and the seed: to z-points (n, z_dim).
Draw = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class ComparedSampler:
    """A way to draw z-points, and the temperature that it draws at."""

    draw: Draw
    temperature: float


def compared_samplers(fitted: FittedSamplers, *, every: bool) -> dict[str, ComparedSampler]:
    """Return the samplers to compare, by name.

    Args:
        fitted: the samplers, with the best of them and the best temperature of each, both chosen
            on validation.
        every: all samplers, or only normal and the best.

    Returns:
        normal at temperature 1, which is N(0, I) itself; each other one at its best temperature.
    """
    samplers: dict[str, ComparedSampler] = {}
    for name in SAMPLERS:
        if every or name in ("normal", fitted.best):
            temperature = 1.0 if name == "normal" else fitted.chosen(name, None)[1]
            samplers[name] = ComparedSampler(_drawing(fitted, name, temperature), temperature)
    return samplers


def _drawing(fitted: FittedSamplers, name: Sampler, temperature: float) -> Draw:
    return lambda n, seed: draw(fitted, name, n, seed=seed, temperature=temperature)
