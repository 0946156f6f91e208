import pytest
from pydantic import ValidationError

from celeba_vae.params import PrepareParams, load_params
from tests.support import ROOT


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"validation": 0.5}, "prepare.split is given, which does not use prepare.validation"),
        ({"split_by": "identity"}, "prepare.split is given, which does not use prepare.split_by"),
        ({"split": "drawn", "validation": 0.5}, "do not fit each other"),
        ({"split": "drawn", "validation": 0.5, "test": 3}, "do not fit each other"),
        ({"split": "drawn", "validation": 0.5, "test": 0.5}, "leaves nothing for train"),
        ({"split": "drawn", "validation": 1.0, "test": 0.5}, "1.0 is neither a fraction"),
        ({"split": "drawn", "validation": 0, "test": 1}, "0 is neither a fraction"),
        ({"split": "drawn", "validation": True, "test": 1}, "True is neither a fraction"),
        ({"split": "drawn", "validation": "x", "test": 1}, "'x' is neither a fraction"),
    ],
)
def test_splits_that_no_data_can_have_are_refused(
    changes: dict[str, object], expected: str
) -> None:
    values = load_params(ROOT / "params.yaml").prepare.model_dump()
    with pytest.raises(ValidationError, match=expected):
        PrepareParams.model_validate(values | changes)
