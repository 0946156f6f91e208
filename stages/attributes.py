"""Stage `attributes`: what mu tells of attributes and true factors; faces pushed along them."""

from celeba_vae.params import Params
from celeba_vae.runtime.places import ATTRIBUTES, METRICS, MODEL, SHARDS, ZPOINTS
from stages.runner import run


def attributes(params: Params) -> None:
    """Read model, z-points and shards, write data/attributes and data/metrics/attributes.json."""
    from celeba_vae.backend import configure_tensorflow, pin_linear_algebra

    configure_tensorflow(params.threads, params.instructions)

    from celeba_vae.attributes.labels import read_labels
    from celeba_vae.attributes.run import describe_attributes
    from celeba_vae.latent.stored import load_mu
    from celeba_vae.model.pretrained import load
    from celeba_vae.runtime.outs import write_result
    from celeba_vae.shards.read import open_split

    # scikit-learn brings a pool of threads of its own, which must be loaded to be pinned.
    pin_linear_algebra()
    model = load(MODEL)
    labels = read_labels(SHARDS)
    mu = {
        split: load_mu(ZPOINTS, split, images=of.images, z_dim=model.z_dim)
        for split, of in labels.items()
    }
    validation = open_split(SHARDS, "validation")
    result = describe_attributes(model, labels, mu, validation, params.attributes)
    write_result(result, ATTRIBUTES, METRICS / "attributes.json")


if __name__ == "__main__":
    run(attributes)
