"""The default VAE in PyTorch, for comparison.

TensorFlow's "same" padding of a stride of 2 pads behind, PyTorch's padding of 1 before: this
network is the mirror image of ours. With mirrored kernels it gives the mirrored result for
mirrored images, at no cost for either.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from celeba_vae.params import ModelParams

# Keras' defaults.
EPSILON = 1e-3
SLOPE = 0.3


class TorchVAE(nn.Module):
    """Encoder, noise, Decoder; kernels of 3 pixels, strides of 2, plain blocks."""

    def __init__(self, params: ModelParams, *, size: int) -> None:
        super().__init__()
        unlike = {"kernel": 3, "blocks": "plain", "variational": True, "inter_dense": None}
        for key, value in unlike.items():
            if getattr(params, key) != value:
                raise ValueError(f"this network has {key} = {value}")
        if set(params.strides) != {2} or params.log_var_bound or params.activation != "leaky_relu":
            raise ValueError("this network has strides of 2, leaky_relu, and no log_var_bound")
        self.z_dim = params.z_dim
        self.inner = (params.filters[-1], size // 2 ** len(params.filters))
        flat = self.inner[0] * self.inner[1] ** 2
        self.encoder = nn.Sequential()
        before = 3
        for level, filters in enumerate(params.filters, start=1):
            conv = nn.Conv2d(before, filters, 3, stride=2, padding=1)
            self._level(self.encoder, level, conv, params, filters)
            before = filters
        self.mu, self.log_var = nn.Linear(flat, self.z_dim), nn.Linear(flat, self.z_dim)
        self.dense = nn.Linear(self.z_dim, flat)
        self.decoder = nn.Sequential()
        outwards = [3, *params.filters[:-1]][::-1]
        for level, filters in enumerate(outwards, start=1):
            conv = nn.ConvTranspose2d(before, filters, 3, stride=2, padding=1, output_padding=1)
            if level < len(outwards):
                self._level(self.decoder, level, conv, params, filters)
            else:
                self.decoder.add_module(f"conv_{level}", conv)
            before = filters

    @staticmethod
    def _level(
        part: nn.Sequential, level: int, conv: nn.Module, params: ModelParams, filters: int
    ) -> None:
        part.add_module(f"conv_{level}", conv)
        if params.batch_norm:
            momentum = 1 - params.batch_norm_momentum
            norm = nn.BatchNorm2d(filters, eps=EPSILON, momentum=momentum)
            part.add_module(f"norm_{level}", norm)
        part.add_module(f"activation_{level}", nn.LeakyReLU(SLOPE))

    def forward(self, pixels: Any, noise: Any) -> tuple[Any, Any, Any]:
        """Return logits (n, 3, size, size), mu and log_var (n, z_dim)."""
        x = self.encoder(pixels).flatten(1)
        mu, log_var = self.mu(x).float(), self.log_var(x).float()
        z = mu + torch.exp(0.5 * log_var) * noise
        x = self.dense(z).unflatten(1, (self.inner[0], self.inner[1], self.inner[1]))
        return self.decoder(x.contiguous(memory_format=torch.channels_last)), mu, log_var


def loss_of(vae: TorchVAE, images: Any, noise: Any, kl_weight: float) -> Any:
    """Return the Bernoulli loss plus the weighted KL loss, in nats per image.

    images: uint8 (n, size, size, 3), which is channels_last once the axes are turned.
    """
    pixels = images.permute(0, 3, 1, 2).float() / 255
    logits, mu, log_var = vae(pixels, noise)
    reconstruction = functional.binary_cross_entropy_with_logits(
        logits.float(), pixels, reduction="sum"
    )
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum()
    return (reconstruction + kl_weight * kl) / len(images)


def load_weights(vae: TorchVAE, weights: dict[str, np.ndarray]) -> None:
    """Give the network the weights of ours.

    Args:
        vae: the network.
        weights: by part and Keras' path, such as `encoder/conv_1/kernel`.
    """
    channels, side = vae.inner
    own: dict[str, np.ndarray] = {}
    for name, value in weights.items():
        part, layer, kind = name.split("/")
        if layer.startswith("conv"):
            # (h, w, in, out), transposed (h, w, out, in) -> (out, in, h, w), (in, out, h, w).
            key = f"{part}.{layer}.{'weight' if kind == 'kernel' else kind}"
            own[key] = value[::-1, ::-1].transpose(3, 2, 0, 1) if kind == "kernel" else value
        elif layer.startswith("norm"):
            names = {
                "gamma": "weight",
                "beta": "bias",
                "moving_mean": "running_mean",
                "moving_variance": "running_var",
            }
            own[f"{part}.{layer}.{names[kind]}"] = value
        elif kind == "kernel":
            # Flattened as (h, w, channels) and mirrored -> as (channels, h, w).
            inwards = layer != "dense"
            cells = (value if inwards else value.T).reshape(side, side, channels, -1)
            flat = cells[::-1, ::-1].transpose(2, 0, 1, 3).reshape(channels * side * side, -1)
            own[f"{layer}.weight"] = flat.T if inwards else flat
        elif layer == "dense":
            cells = value.reshape(side, side, channels)[::-1, ::-1]
            own["dense.bias"] = cells.transpose(2, 0, 1).reshape(-1)
        else:
            own[f"{layer}.bias"] = value
    kept = {key: value for key, value in vae.state_dict().items() if key.endswith("tracked")}
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in own.items()}
    vae.load_state_dict(tensors | kept)
