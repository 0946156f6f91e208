"""Stage `download`: bring faces and annotations into data/imported, in CelebA's own layout."""

from pathlib import Path

from celeba_vae.params import Params
from celeba_vae.runtime.places import IMPORTED
from stages.runner import run


def download(params: Params) -> None:
    """Write data/imported from the source that the parameters name."""
    from celeba_vae.faces.celeba import fetch_dataset
    from celeba_vae.faces.local import import_dataset
    from celeba_vae.faces.synthetic import write_dataset
    from celeba_vae.runtime.scratch import scratch_folder

    group = params.download
    match group.source:
        case "synthetic":
            write_dataset(
                IMPORTED,
                images=group.images,
                seed=group.seed,
                workers=params.run.workers,
                scheduler=params.run.scheduler,
            )
        case "local":
            import_dataset(Path(str(group.path)), IMPORTED)
        case "celeba":
            fetch_dataset(
                IMPORTED,
                scratch=scratch_folder("downloads"),
                path=None if group.path is None else Path(group.path),
                url=group.url,
            )


if __name__ == "__main__":
    run(download)
