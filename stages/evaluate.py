"""Stage `evaluate`: how good reconstructions and drawn faces are, and how many bits they need."""

from celeba_vae.params import Params
from stages.runner import EVALUATION, METRICS, MODEL, SHARDS, ZPOINTS, run


def evaluate(params: Params) -> None:
    """Read model, shards and samplers, write data/evaluation and data/metrics/evaluate.json."""
    from celeba_vae.training.determinism import configure_tensorflow

    configure_tensorflow(params.threads)

    from celeba_vae.evaluation.run import evaluate_model
    from celeba_vae.files import write_json
    from celeba_vae.latent.samplers import (
        GAUSSIAN_FILE,
        draw_gaussian,
        draw_normal,
        load_gaussian,
    )
    from celeba_vae.pretrained import load

    model = load(MODEL)
    gaussian = load_gaussian(ZPOINTS / GAUSSIAN_FILE, z_dim=model.z_dim)
    draws = {
        "normal": lambda n, seed: draw_normal(n, model.z_dim, seed),
        "gaussian": lambda n, seed: draw_gaussian(gaussian, n, seed),
    }
    measured = evaluate_model(model, SHARDS, draws, EVALUATION, params.evaluate)
    write_json(METRICS / "evaluate.json", measured)


if __name__ == "__main__":
    run(evaluate)
