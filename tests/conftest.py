"""Fixtures that tests of several modules share."""

# ruff: noqa: E402
import os
from collections.abc import Callable
from pathlib import Path

from celeba_vae.runtime.switches import set_switches

# Before NumPy is imported, as the stages do.
set_switches("avx2")

import numpy as np
import pytest

from celeba_vae.backend import configure_tensorflow
from celeba_vae.params import ModelParams, Params, load_params
from celeba_vae.verify.tiny_params import TINY
from tests.support import ROOT, built_once, reproduce_tiny

NATIVE = os.environ.get("TESTED_INSTRUCTIONS") == "native"


def pytest_configure(config: pytest.Config) -> None:
    # Once a process, before any test imports TensorFlow: what the stages do as well. The process
    # that only hands out the tests needs none.
    if config.getoption("dist", "no") == "no":
        configure_tensorflow(2, "native" if NATIVE else "avx2")


# The files that take longest, in this order: each goes to one of the two processes as a whole, and
# both shall end at about the same time.
LONGEST = (
    "tests/pipeline/test_pipeline.py",
    "tests/training/test_interruption.py",
    "tests/training/test_fit.py",
    "tests/profiling/test_profile.py",
    "tests/shards/test_write.py",
    "tests/training/test_parallel.py",
    "tests/training/test_run.py",
    "tests/verify/test_consistency.py",
    "tests/training/test_jax.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    wanted = [item for item in items if bool(item.get_closest_marker("native")) == NATIVE]
    items[:] = wanted
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.fixture(scope="session")
def tiny() -> Params:
    """The committed parameters, made small."""
    return load_params(ROOT / "params.yaml", TINY)


@pytest.fixture
def model_params(tiny: Params) -> Callable[..., ModelParams]:
    """Make tiny model parameters with changes."""

    def make(**changes: object) -> ModelParams:
        return ModelParams.model_validate(tiny.model.model_dump() | changes)

    return make


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project, reproduced by DVC and committed, which all processes of a session share.

    Read its files; what changes them, or runs DVC, does so in a copy (`shutil.copytree`).
    `reproduced.log` beside it holds what was said, and what each stage imported.
    """
    return built_once(tmp_path_factory, "reproduced", reproduce_tiny)


@pytest.fixture(scope="session")
def celeba_subset() -> Path:
    """The folder of real CelebA images, where there is one."""
    folder = os.environ.get("CELEBA_SUBSET")
    if not folder:
        pytest.skip("CELEBA_SUBSET names no folder of real CelebA images")
    return Path(folder)


@pytest.fixture(scope="session")
def random_images() -> np.ndarray:
    """Uint8 (40, 32, 32, 3): four patterns of dark and light tiles, with a little noise."""
    generator = np.random.default_rng(0)
    patterns = generator.choice([20, 220], (4, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    noise = generator.integers(-20, 21, (40, 32, 32, 3))
    return (np.tile(patterns, (10, 1, 1, 1)) + noise).astype(np.uint8)
