"""Stage `prepare`: crop and resize the faces of data/imported into shards."""

import sys

from celeba_vae.params import Params
from celeba_vae.runtime.errors import printable
from celeba_vae.runtime.places import IMPORTED, SHARDS
from stages.runner import run


def prepare(params: Params) -> None:
    """Read data/imported, write data/shards."""
    from celeba_vae.faces.local import warn_if_changed
    from celeba_vae.shards.write import write_shards

    warning = warn_if_changed(IMPORTED)
    if warning is not None:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    write_shards(
        IMPORTED,
        SHARDS,
        params=params.prepare,
        workers=params.run.workers,
        scheduler=params.run.scheduler,
    )


if __name__ == "__main__":
    run(prepare)
