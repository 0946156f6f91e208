"""Stage `evaluate`: how good reconstructions and drawn faces are, and how many bits they need."""

from pathlib import Path

from celeba_vae.params import Params
from celeba_vae.runtime.places import EVALUATION, METRICS, MODEL, SHARDS, ZPOINTS
from stages.runner import run


def evaluate(params: Params) -> None:
    """Read model, shards and samplers, write data/evaluation and data/metrics/evaluate.json."""
    from celeba_vae.backend import configure_tensorflow

    configure_tensorflow(params.threads, params.instructions)

    from celeba_vae.evaluate.compared_samplers import compared_samplers
    from celeba_vae.evaluate.fid import load_reference
    from celeba_vae.evaluate.run import evaluate_model
    from celeba_vae.faces.layout import SPLITS
    from celeba_vae.latent.samplers import SAMPLERS_FILE, load_samplers
    from celeba_vae.model.pretrained import load
    from celeba_vae.runtime.outs import write_result
    from celeba_vae.shards.read import file_names, open_split

    group = params.evaluate
    model = load(MODEL)
    fitted = load_samplers(ZPOINTS / SAMPLERS_FILE, z_dim=model.z_dim)
    result = evaluate_model(
        model,
        {split: open_split(SHARDS, split) for split in SPLITS},
        file_names(SHARDS, "test"),
        compared_samplers(fitted, every=group.level == "full"),
        None if group.fid is None else load_reference(SHARDS, Path(group.fid)),
        group,
    )
    write_result(result, EVALUATION, METRICS / "evaluate.json")


if __name__ == "__main__":
    run(evaluate)
