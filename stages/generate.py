"""Stage `generate`: draw random faces, reconstructions and walks with the trained model."""

from celeba_vae.params import Params
from stages.runner import METRICS, MODEL, SAMPLES, SHARDS, ZPOINTS, run


def generate(params: Params) -> None:
    """Read model, z-points and shards, write data/samples and data/metrics/generate.json."""
    from celeba_vae.backend import configure_tensorflow

    configure_tensorflow(params.threads)

    from celeba_vae.generate.run import write_samples
    from celeba_vae.latent.samplers import SAMPLERS_FILE, load_samplers
    from celeba_vae.model.pretrained import load
    from celeba_vae.runtime.files import write_json
    from celeba_vae.shards.read import open_split

    model = load(MODEL)
    quality = write_samples(
        model,
        load_samplers(ZPOINTS / SAMPLERS_FILE, z_dim=model.z_dim),
        open_split(SHARDS, "validation"),
        SAMPLES,
        params.generate,
    )
    write_json(METRICS / "generate.json", quality)


if __name__ == "__main__":
    run(generate)
