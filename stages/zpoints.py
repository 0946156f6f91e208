"""Stage `zpoints`: encode every split once, and describe where its z-points lie."""

from celeba_vae.params import Params
from stages.runner import METRICS, MODEL, SHARDS, ZPOINTS, run


def zpoints(params: Params) -> None:
    """Read data/model and data/shards, write data/zpoints and data/metrics/zpoints.json."""
    from celeba_vae.backend import configure_tensorflow, pin_linear_algebra

    configure_tensorflow(params.threads)

    from celeba_vae.zpoints.run import describe_zpoints

    # scikit-learn brings a pool of threads of its own, which must be loaded to be pinned.
    pin_linear_algebra()
    describe_zpoints(MODEL, SHARDS, ZPOINTS, METRICS / "zpoints.json", params=params.zpoints)


if __name__ == "__main__":
    run(zpoints)
