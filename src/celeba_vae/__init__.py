"""A reproducible pipeline for convolutional VAEs on face images.

`celeba_vae.load("data/model")` gives a trained `FaceModel`, with `read`, `encode`, `decode`,
`reconstruct`, `generate`, `interpolate` and `edit`. A user's mistake raises `UserError`.
"""

from typing import TYPE_CHECKING, Any

from celeba_vae.runtime.errors import UserError

__all__ = ["FaceModel", "UserError", "__version__", "load"]

if TYPE_CHECKING:
    from celeba_vae.face_model import FaceModel, load

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        # Lazily, for `import celeba_vae` is in every stage, and most need no model.
        if name == "__version__":
            from importlib.metadata import version

            return version("celeba-vae")
        if name in __all__:
            from celeba_vae import face_model

            return getattr(face_model, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
