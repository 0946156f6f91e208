"""Stage `evaluate`: how good reconstructions and drawn faces are, and how many bits they need."""

from celeba_vae.params import Params
from stages.runner import EVALUATION, METRICS, MODEL, SHARDS, ZPOINTS, run


def evaluate(params: Params) -> None:
    """Read model, shards and samplers, write data/evaluation and data/metrics/evaluate.json."""
    from celeba_vae.backend import configure_tensorflow

    configure_tensorflow(params.threads)

    from celeba_vae.evaluate.run import drawings_of, evaluate_model
    from celeba_vae.latent.samplers import SAMPLERS_FILE, load_samplers
    from celeba_vae.model.pretrained import load
    from celeba_vae.runtime.files import write_json

    model = load(MODEL)
    fitted = load_samplers(ZPOINTS / SAMPLERS_FILE, z_dim=model.z_dim)
    drawings = drawings_of(fitted, every=params.evaluate.level == "full")
    measured = evaluate_model(model, SHARDS, drawings, EVALUATION, params.evaluate)
    write_json(METRICS / "evaluate.json", measured)


if __name__ == "__main__":
    run(evaluate)
