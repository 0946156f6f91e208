"""Stage `prepare`: crop and resize the faces of data/raw into shards."""

import sys

from celeba_vae.params import Params
from stages.runner import RAW, SHARDS, run


def prepare(params: Params) -> None:
    """Read data/raw, write data/shards."""
    from celeba_vae.faces.local import warn_if_changed
    from celeba_vae.shards.write import write_shards

    warning = warn_if_changed(RAW)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    write_shards(
        RAW,
        SHARDS,
        params=params.prepare,
        workers=params.run.workers,
        scheduler=params.run.scheduler,
    )


if __name__ == "__main__":
    run(prepare)
