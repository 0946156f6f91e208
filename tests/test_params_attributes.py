import pytest

from celeba_vae.faces.layout import ATTRIBUTES
from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT


def message(override: str) -> str:
    with pytest.raises(UserError) as caught:
        load_params(ROOT / "params.yaml", overrides=[override])
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("attributes.shown=[Smile]", "attributes.shown = 'Smile': did you mean Smiling? Allowed"),
        ("attributes.shown=[smiling]", "attributes.shown = 'smiling': did you mean Smiling?"),
        ("attributes.shown=[Male, Glasses]", "attributes.shown = 'Glasses': did you mean Eyegla"),
        ("attributes.shown=[Qqqq]", "attributes.shown = 'Qqqq': Allowed are CelebA's attributes"),
        ("attributes.shown=['']", "attributes.shown = '': Allowed are CelebA's attributes"),
        ("attributes.shown=Smiling", "attributes.shown = 'Smiling': input should be a valid list"),
        ("attributes.shown=[1]", "attributes.shown.0 = 1: input should be a valid string"),
    ],
)
def test_names_that_are_no_attributes_are_refused(override: str, expected: str) -> None:
    assert expected in message(override)


def test_the_refusal_names_all_that_is_allowed() -> None:
    assert ", ".join(ATTRIBUTES) in message("attributes.shown=[Smile]")


@pytest.mark.parametrize("shown", [[], ["Smiling"], list(ATTRIBUTES)])
def test_celebas_attributes_are_accepted(shown: list[str]) -> None:
    override = f"attributes.shown=[{', '.join(shown)}]"
    assert load_params(ROOT / "params.yaml", overrides=[override]).attributes.shown == shown
