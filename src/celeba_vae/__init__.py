"""A reproducible pipeline for convolutional VAEs on face images.

`celeba_vae.load("data/model")` gives a trained model with `encode`, `decode` and `reconstruct`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeba_vae.model.pretrained import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Lazily, for `import celeba_vae` is in every stage, and most need no model.
    if name == "load":
        from celeba_vae.model.pretrained import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
