"""What `import celeba_vae` offers."""

import sys

import pytest

import celeba_vae
from celeba_vae.model import pretrained
from tests.support import ROOT, run


def test_load_is_offered_to_completion_and_is_the_models() -> None:
    assert dir(celeba_vae) == celeba_vae.__all__ == ["load"]
    assert celeba_vae.load is pretrained.load
    with pytest.raises(AttributeError, match="has no attribute 'unload'"):
        celeba_vae.unload  # noqa: B018


def test_importing_it_loads_no_model() -> None:
    code = "import sys, celeba_vae; print({'numpy', 'pydantic', 'tensorflow'} & {*sys.modules})"
    done = run(sys.executable, "-c", code, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")})
    assert done.stdout == "set()\n", done.stderr
