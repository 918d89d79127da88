"""From a spec to a torch module.

    logits = build_network(spec, channels)(images)   # float (N, 3, H, W) normalised -> (N, K, H, W)

The module knows nothing of normalisation, sigmoids or thresholds; the first two are added by
`inference.InferenceGraph`, the last belongs to whoever uses the probabilities.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.decoders.unet import UnetDecoder
from buildext.learn.networks.heads import ConvHead, SubpixelHead
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.loading import load_strictly, state_dict_from_onnx
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.networks.padding import fix_same_padding
from buildext.learn.networks.registry import build_encoder
from buildext.models.card import Card, NetworkSpec

DECODERS = ("unet",)
UNET_CHANNELS = (128, 96, 64, 32, 16)


class SegmentationNetwork(nn.Module):
    """Encoder, decoder and head in a row.

    Attributes:
        spec: the architecture.
        channels: names of the output channels in order.
        stride_divisor: heights and widths must be multiples of this, in pixels.
    """

    def __init__(self, spec: NetworkSpec, channels: tuple[str, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.channels = channels
        self.stride_divisor = 2**spec.encoder_depth
        check_spec(spec, channels)
        self.encoder, widths = build_encoder(spec.encoder, spec.encoder_depth)
        blocks = spec.encoder_depth - (1 if spec.head == "subpixel" else 0)
        decoder_channels = spec.decoder_channels or UNET_CHANNELS[:blocks]
        self.decoder = UnetDecoder(widths, decoder_channels)
        head = SubpixelHead if spec.head == "subpixel" else ConvHead
        self.head = head(decoder_channels[-1], len(channels))
        fix_same_padding(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised float images `(N, 3, H, W)` to logits `(N, K, H, W)`.

        `H` and `W` must be multiples of `stride_divisor`.
        """
        features = self.encoder(images)
        logits: torch.Tensor = self.head(self.decoder(features[1:]))
        return logits


def check_spec(spec: NetworkSpec, channels: tuple[str, ...]) -> None:
    """Refuse a spec that makes no network.

    Raises:
        ModelError: naming the value that is wrong.
    """
    if spec.decoder not in DECODERS:
        raise ModelError(
            f"got the decoder {spec.decoder!r}; expected one of {', '.join(DECODERS)}",
            hint="change `decoder` in the config or the model card",
        )
    if not channels or len(set(channels)) != len(channels):
        raise ModelError(
            f"got the output channels {channels!r}; expected at least one, each once",
            hint="name the channels, such as building and contact",
        )
    blocks = spec.encoder_depth - (1 if spec.head == "subpixel" else 0)
    if len(spec.decoder_channels) not in (0, blocks):
        raise ModelError(
            f"got {len(spec.decoder_channels)} decoder widths; expected {blocks} for "
            f"encoder depth {spec.encoder_depth} and the head {spec.head!r}",
            hint="give one width per decoder block, deepest first",
        )


def build_network(spec: NetworkSpec, channels: tuple[str, ...]) -> SegmentationNetwork:
    """A randomly initialised network; seed torch first for a repeatable one.

    Args:
        spec: the architecture.
        channels: names of the output channels in order, such as `("building", "contact")`.

    Raises:
        ModelError: the encoder is unknown, or the spec makes no network.
    """
    return SegmentationNetwork(spec, channels)


def load_network(card: Card, weights: Path) -> InferenceGraph:
    """The network of a model folder with its weights, in evaluation mode.

    Args:
        card: names the architecture, the channels and the normalisation.
        weights: the model's ONNX file.

    Returns:
        A module from uint8 `(N, 3, H, W)` to float32 probabilities `(N, K, H, W)`.

    Raises:
        ModelError: the encoder is unknown, or the weights do not fit exactly.
    """
    network = build_network(card.network, card.channels)
    load_strictly(network, state_dict_from_onnx(weights), str(weights))
    red, green, blue = card.mean
    red_std, green_std, blue_std = card.std
    normalisation = Normalisation((red, green, blue), (red_std, green_std, blue_std))
    return InferenceGraph(network, normalisation).eval()
