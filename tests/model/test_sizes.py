from collections.abc import Callable
from typing import Any

import pytest

from celeba_vae.model.sizes import check_memory, count_weights
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, Params, load_params
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT

SMALL = {"filters": [5, 24], "strides": [2, 3], "kernel": 3, "z_dim": 7}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_norm": False},
        {"blocks": "residual"},
        {"blocks": "residual", "batch_norm": False, "kernel": 4},
        {"inter_dense": 9},
        {"inter_dense": 9, "variational": False, "blocks": "residual"},
        {"variational": False},
        {"filters": [1], "strides": [1], "kernel": 15, "z_dim": 1},
    ],
)
def test_the_weights_are_those_that_keras_counts(
    model_params: Callable[..., ModelParams], changes: dict[str, Any]
) -> None:
    params = model_params(**SMALL | changes)
    vae = VAE(params, size=12, seed=1)
    built = vae.encoder.count_params() + vae.decoder.count_params()
    assert count_weights(params, size=12) == built


def test_the_committed_model_has_the_articles_weights() -> None:
    params = load_params(ROOT / "params.yaml")
    assert count_weights(params.model, size=96) == 5_109_440 + 2_757_571
    check_memory(params.model, size=96, train=params.train)


def test_a_model_that_no_machine_can_hold_is_refused_with_the_bytes(tiny: Params) -> None:
    largest = tiny.model.model_copy(
        update={
            **{"filters": [16_384, 16_384], "strides": [1, 1], "kernel": 15, "z_dim": 1},
            **{"batch_norm": False, "blocks": "plain", "inter_dense": None, "variational": False},
        }
    )
    kernels = 2 * 225 * (3 * 16_384 + 16_384**2) + 3 * 16_384 + 3
    weights = kernels + (16_384 + 1) + 2 * 16_384  # of an image of one pixel
    for train, needed in ((None, 4 * weights), (tiny.train, 16 * weights)):
        with pytest.raises(UserError) as caught:
            check_memory(largest, size=1, train=train)
        assert f"needs {needed / 1e9:,.1f} GB of memory ({weights:,} weights" in str(caught.value)
        assert "GB are free: choose smaller model.filters" in str(caught.value)


@pytest.mark.parametrize(("precision", "itemsize"), [("float32", 4), ("bfloat16", 2)])
def test_the_maps_of_a_batch_count(tiny: Params, precision: str, itemsize: int) -> None:
    model = tiny.model.model_copy(update={"filters": [16_384], "strides": [1], "kernel": 1})
    train = tiny.train.model_copy(
        update={"batch_size": 4096, "accumulate": 2, "precision": precision}
    )
    maps = 2048 * 1024**2 * (16_384 + 3) * itemsize
    needed = 16 * count_weights(model, size=1024) + maps
    with pytest.raises(UserError, match=rf"needs {needed / 1e9:,.1f} GB .* maps of 2,048 images"):
        check_memory(model, size=1024, train=train)
