"""The committed diagrams are those of the parameters and of the rooms that there are."""

from xml.etree import ElementTree

import pytest

from celeba_vae.params import load_params
from docs.generator.diagrams import ROOMS, WAY, make_diagrams, model_svg
from docs.generator.stages import read_stages
from tests.support import ROOT


@pytest.mark.parametrize("name", ["model.svg", "pieces.svg"])
def test_a_picture_is_as_committed(name: str) -> None:
    made = make_diagrams(ROOT)[name]
    committed = (ROOT / "docs/images" / name).read_text()
    assert made == committed, "run `python -m docs.generator.diagrams`"
    assert ElementTree.fromstring(made).tag.endswith("svg")
    assert "http" not in made.replace("http://www.w3.org/2000/svg", "")


def test_the_sizes_follow_the_parameters() -> None:
    changed = ["prepare.size=32", "model.filters=[4, 8]", "model.strides=[2, 2]"]
    params = load_params(ROOT / "params.yaml", [*changed, "model.inter_dense=7", "model.z_dim=6"])
    picture = model_svg(params)
    for size in ("32 × 32 × 3", "16 × 16 × 4", "8 × 8 × 8", "512 values", "mu: 6"):  # noqa: RUF001
        assert f">{size}<" in picture
    assert "inter_dense: 7" in picture
    assert "stroke-dasharray" not in picture


def test_stages_and_rooms_are_there() -> None:
    assert [stage for stage, *_ in WAY] == [stage.name for stage in read_stages(ROOT)]
    for room in [room for _, room, *_ in WAY] + [room for room, _ in ROOMS]:
        assert (ROOT / "src/celeba_vae" / room / "__init__.py").is_file(), room
