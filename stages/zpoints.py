"""Stage `zpoints`: encode every split once, and describe where its z-points lie."""

from celeba_vae.params import Params
from celeba_vae.runtime.places import METRICS, MODEL, SHARDS, ZPOINTS
from stages.runner import run


def zpoints(params: Params) -> None:
    """Read data/model and data/shards, write data/zpoints and data/metrics/zpoints.json."""
    from celeba_vae.backend import configure_tensorflow, pin_linear_algebra

    configure_tensorflow(params.threads, params.instructions)

    from celeba_vae.faces.layout import SPLITS
    from celeba_vae.model.pretrained import load
    from celeba_vae.runtime.outs import write_result
    from celeba_vae.shards.read import open_split
    from celeba_vae.zpoints.index import read_index
    from celeba_vae.zpoints.run import describe_zpoints

    # scikit-learn brings a pool of threads of its own, which must be loaded to be pinned.
    pin_linear_algebra()
    model = load(MODEL)
    images = {split: open_split(SHARDS, split) for split in SPLITS}
    index = read_index(SHARDS, images)
    result = describe_zpoints(model, images, index, params=params.zpoints)
    write_result(result, ZPOINTS, METRICS / "zpoints.json")


if __name__ == "__main__":
    run(zpoints)
