"""Stage `generate`: random faces, reconstructions and interpolations of the trained model."""

from celeba_vae.params import Params
from celeba_vae.runtime.places import METRICS, MODEL, SAMPLES, SHARDS, ZPOINTS
from stages.runner import run


def generate(params: Params) -> None:
    """Read model, samplers and shards, write data/samples and data/metrics/generate.json."""
    from celeba_vae.backend import configure_tensorflow

    configure_tensorflow(params.threads, params.instructions)

    from celeba_vae.generate.run import generate_faces
    from celeba_vae.latent.samplers import SAMPLERS_FILE, load_samplers
    from celeba_vae.model.pretrained import load
    from celeba_vae.runtime.outs import write_result
    from celeba_vae.shards.read import open_split

    model = load(MODEL)
    samplers = load_samplers(ZPOINTS / SAMPLERS_FILE, z_dim=model.z_dim)
    result = generate_faces(model, samplers, open_split(SHARDS, "validation"), params.generate)
    write_result(result, SAMPLES, METRICS / "generate.json")


if __name__ == "__main__":
    run(generate)
