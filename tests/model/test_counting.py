from collections.abc import Callable

import keras
import pytest

from celeba_vae.model.counting import count_bytes
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, Params


def test_bytes_follow_from_the_shapes(model_params: Callable[..., ModelParams]) -> None:
    params = model_params(
        filters=[4, 8], strides=[2, 2], kernel=3, z_dim=6, inter_dense=None, batch_norm=True
    )
    vae = VAE(params, size=8, seed=1)
    optimizer = keras.optimizers.Adam()
    optimizer.build(vae.trainable_variables)
    counted = count_bytes(vae, optimizer)
    trained = sum(weight.numpy().nbytes for weight in vae.trainable_variables)
    assert counted.gradients == trained
    assert counted.weights == sum(weight.numpy().nbytes for weight in vae.weights)
    # Two moments of every trained weight; the step as 8 bytes and the learning rate as 4.
    assert counted.slots == 2 * trained + 12
    # Values for one image, four bytes each. Encoder: the image; maps of 4 x 4 x 4 and 2 x 2 x 8,
    # each as convolution, normalised and activated; mu and log_var. Decoder: z; the Dense layer;
    # maps of 4 x 4 x 4, three times; the logits. Flatten and Reshape are views.
    encoder = 8 * 8 * 3 + 3 * (4 * 4 * 4 + 2 * 2 * 8) + 2 * 6
    decoder = 6 + 2 * 2 * 8 + 3 * 4 * 4 * 4 + 8 * 8 * 3
    assert counted.activations == 4 * (encoder + decoder)
    # A training step of two images at once.
    held = counted.weights + 3 * trained + 12
    assert counted.step(2) == held + 2 * counted.activations


@pytest.mark.parametrize(
    ("inter_dense", "encoder"), [(None, 5_109_440), (256, 2_881_472), (384, 4_126_784)]
)
def test_the_articles_models_have_the_articles_parameters(
    tiny: Params, inter_dense: int | None, encoder: int
) -> None:
    params = ModelParams.model_validate(
        tiny.model.model_dump()
        | {
            "filters": [32, 64, 128, 256],
            "strides": [2, 2, 2, 2],
            "z_dim": 256,
            "inter_dense": inter_dense,
        }
    )
    vae = VAE(params, size=96, seed=1)
    optimizer = keras.optimizers.SGD()
    optimizer.build(vae.trainable_variables)
    counted = count_bytes(vae, optimizer)
    assert (counted.encoder_parameters, counted.decoder_parameters) == (encoder, 2_757_571)
    assert counted.slots == 12
