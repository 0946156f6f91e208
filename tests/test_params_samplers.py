import pytest

from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT


def test_samplers_and_tests_are_read_as_dvc_writes_them() -> None:
    params = load_params(ROOT / "params.yaml")
    assert (params.generate.sampler, params.generate.temperature) == (None, None)
    assert params.zpoints.tests == "quick"
    params = load_params(
        ROOT / "params.yaml",
        ("generate.sampler=ellipse", "generate.temperature=1e-01", "zpoints.tests=full"),
    )
    assert (params.generate.sampler, params.generate.temperature) == ("ellipse", 0.1)
    assert params.zpoints.tests == "full"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("generate.sampler=uniform", "generate.sampler = 'uniform': input should be 'normal', "),
        ("generate.temperature=0", "generate.temperature = 0: input should be greater than 0"),
        ("generate.temperature=.nan", "generate.temperature = nan: input should be a finite"),
        ("zpoints.tests=all", "zpoints.tests = 'all': input should be 'quick' or 'full'"),
    ],
)
def test_wrong_ones_get_one_line(override: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        load_params(ROOT / "params.yaml", (override,))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)
