"""Stage `train`: fit the VAE to the training shards."""

from celeba_vae.params import Params
from celeba_vae.runtime.places import METRICS, MODEL, SHARDS
from stages.runner import loaded_code, run


def train(params: Params) -> None:
    """Read data/shards, write data/model and data/metrics/train.json.

    Where several processes train together, each runs this stage, and only the main one writes.
    """
    from celeba_vae.backend import configure_backend

    configure_backend(params.train.backend, params.threads, params.instructions)

    from celeba_vae.machine import note_differences, training_machine
    from celeba_vae.model.pretrained import save
    from celeba_vae.runtime.outs import write_result
    from celeba_vae.runtime.scratch import scratch_folder
    from celeba_vae.training.data import open_training_data
    from celeba_vae.training.parallel import is_main, process_count, process_group

    with process_group(params.train.backend):
        # Keras, which this imports, may start JAX: only after the processes have found each other.
        from celeba_vae.training.run import train_model

        if is_main():
            note_differences(params.threads, params.instructions)
        data = open_training_data(SHARDS)
        machine = training_machine(
            params.threads, params.instructions, params.train.backend, processes=process_count()
        )
        vae, result = train_model(
            data,
            scratch_folder("train"),
            model=params.model,
            train=params.train,
            machine=machine,
            run=params.run,
            code=loaded_code(),
        )
        if is_main():
            save(
                vae,
                params.model,
                manifest=data.manifest,
                sha256=data.sha256,
                machine=machine,
                folder=MODEL,
            )
            write_result(result, MODEL, METRICS / "train.json")


if __name__ == "__main__":
    run(train)
