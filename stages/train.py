"""Stage `train`: fit the VAE to the training shards."""

from celeba_vae.params import Params
from stages.runner import METRICS, MODEL, SHARDS, loaded_code, run


def train(params: Params) -> None:
    """Read data/shards, write data/model and data/metrics/train.json.

    Where several processes train together, each runs this stage, and only process 0 writes.
    """
    from celeba_vae.backend import configure_backend

    configure_backend(params.train.backend, params.threads)

    from celeba_vae.training.parallel import is_lead, process_group

    with process_group(params.train.backend):
        from celeba_vae.machine import note_differences
        from celeba_vae.training.run import train_model

        if is_lead():
            note_differences(params.threads)
        train_model(
            SHARDS,
            MODEL,
            METRICS / "train.json",
            model=params.model,
            train=params.train,
            threads=params.threads,
            run=params.run,
            code=loaded_code(),
        )


if __name__ == "__main__":
    run(train)
