"""Stage `attributes`: what mu knows of attributes and true factors; faces pushed along them."""

from celeba_vae.params import Params
from stages.runner import ATTRIBUTES, METRICS, MODEL, SHARDS, ZPOINTS, run


def attributes(params: Params) -> None:
    """Read model, z-points and shards, write data/attributes and data/metrics/attributes.json."""
    from celeba_vae.backend import configure_tensorflow, pin_linear_algebra

    configure_tensorflow(params.threads)

    from celeba_vae.attributes.run import write_attributes
    from celeba_vae.model.pretrained import load

    # scikit-learn brings a pool of threads of its own, which must be loaded to be pinned.
    pin_linear_algebra()
    write_attributes(
        load(MODEL),
        ZPOINTS,
        SHARDS,
        ATTRIBUTES,
        METRICS / "attributes.json",
        params=params.attributes,
    )


if __name__ == "__main__":
    run(attributes)
