"""A reproducible laboratory for convolutional VAEs on face images.

`celeba_vae.load("data/model")` gives a trained model with `encode` and `decode`.
"""

from typing import Any

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # Lazily, for `import celeba_vae` is in every stage, and most need no model.
    if name == "load":
        from celeba_vae.model.pretrained import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
