"""What parameters decide together, before any stage has run."""

import numpy as np
import pytest

from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT

PARAMS = ROOT / "params.yaml"
DRAWN = "prepare.split=drawn"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            [DRAWN, "prepare.validation=2000", "prepare.test=2095"],
            "prepare.validation + prepare.test = 4095 of download.images = 4096 leave fewer than 2",
        ),
        (
            [DRAWN, "prepare.validation=2000", "prepare.test=2070"],
            "train.batch_size = 32 is larger than the training set of 26 images",
        ),
        ([DRAWN, "prepare.validation=1", "prepare.test=9"], "prepare.validation: 1 is neither"),
        (
            ["prepare.size=512", "generate.rows=100", "generate.columns=11"],
            "generate.rows x generate.columns = 1,100 faces of prepare.size = 512 make a picture "
            "of 288,358,400 pixels: allowed are 268,435,456",
        ),
        (["prepare.size=1024", "generate.walk_steps=100"], "generate.walks x generate.walk_steps"),
        (["prepare.size=1024", "attributes.columns=100"], "attributes.rows x attributes.columns"),
        (["run.states_gb=1e300"], "run.states_gb = 1e+300: input should be less than or equal to"),
        (["train.ema=0.9999999"], "train.ema = 0.9999999: input should be less than or equal to"),
        (["model.batch_norm_momentum=0.9999999"], "model.batch_norm_momentum = 0.9999999: input"),
        (["train.clip_norm=1e-300"], "train.clip_norm = 1e-300: input should be greater than or"),
        (["model.log_var_bound=1e-50"], "model.log_var_bound = 1e-50: input should be greater"),
        (['evaluate.fid="/a\\0b"'], "evaluate.fid: '/a\\x00b' holds the character 0"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_first_stage(
    overrides: list[str], expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        load_params(PARAMS, overrides)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [DRAWN, "prepare.validation=2000", "prepare.test=2064"],
        # Images of a person stay together: how many each split gets, nobody knows yet.
        [DRAWN, "prepare.split_by=identity", "prepare.validation=2000", "prepare.test=2090"],
        [DRAWN, "download.images=10", "prepare.validation=0.2", "prepare.test=0.2"],
        ["prepare.size=512", "generate.rows=100", "generate.columns=10"],
        ["run.states_gb=1e6", "train.ema=0.999999", "train.clip_norm=1e9"],
    ],
)
def test_what_may_be_run_is_accepted(overrides: list[str]) -> None:
    load_params(PARAMS, overrides)


def test_the_limits_are_numbers_of_32_bits() -> None:
    """The largest part that an average keeps lets it move; the smallest bound divides."""
    assert np.float32(1) - np.float32(0.999999) > 0
    assert np.isfinite(np.float32(1e3) / np.float32(1e-3))
    assert np.isfinite(np.float32(1e9))
    assert np.float32(1e-9) > 0
