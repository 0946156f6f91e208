import pytest

from celeba_vae.params import Params, load_params
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT


def read(*overrides: str) -> Params:
    return load_params(ROOT / "params.yaml", overrides)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("0.05", 0.05), ("1e-02", 0.01), ("learned", "learned"), ("optimal", "optimal")],
)
def test_sigma_is_a_number_or_a_way_to_find_it(text: str, value: float | str) -> None:
    assert read("train.loss=gaussian", f"train.sigma={text}").train.sigma == value


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.loss=gaussian", "train.sigma="], "train.sigma is empty, but train.loss is gauss"),
        (["train.loss=bernoulli", "train.sigma=1"], "train.sigma = 1.0 is given, but train.loss"),
        (["train.loss=gaussian", "train.sigma=0"], "train.sigma: 0 is neither a number from 0.001"),
        (["train.loss=gaussian", "train.sigma=true"], "True is neither a number from 0.001 to"),
        (["train.loss=gaussian", "train.sigma=best"], "'best' is neither a number from 0.001 to"),
        (["train.loss=gaussian", "train.sigma=.nan"], "nan is neither a number from 0.001 to 1000"),
        (["train.free_bits=-1"], "train.free_bits = -1: input should be greater than or equal"),
        (["model.log_var_bound=0"], "model.log_var_bound = 0: input should be greater"),
        (["train.accumulate=5"], "train.accumulate = 5 does not divide train.batch_size = 32"),
        (["train.accumulate=0"], "train.accumulate = 0: input should be greater than or equal"),
        (["train.backend=torch"], "train.backend = 'torch': input should be 'tensorflow' or 'jax'"),
        (["train.precision=bfloat16"], "on tensorflow needs instructions=native"),
        (["train.precision=float16"], "'float16': input should be 'float32' or 'bfloat16'"),
        (["model.blocks=dense"], "model.blocks = 'dense': input should be 'plain' or 'residual'"),
        (["model.variational="], "model.variational = None: input should be a valid boolean"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(overrides: list[str], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        read(*overrides)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "more to fix" not in str(caught.value)


def test_the_plain_autoencoder_needs_one_override_alone() -> None:
    committed, plain = read(), read("model.variational=false")
    assert plain.train == committed.train
    assert plain.model == committed.model.model_copy(update={"variational": False})


@pytest.mark.parametrize("size", [32, 64, 96, 128, 256])
def test_sizes_and_levels_that_fit_each_other(size: int) -> None:
    for filters, strides in (("[8, 8, 8]", "[2, 2, 4]"), ("[8, 8, 8, 8, 8]", "[2, 2, 1, 2, 2]")):
        changes = (f"model.filters={filters}", f"model.strides={strides}")
        assert read(f"prepare.size={size}", *changes).prepare.size == size
