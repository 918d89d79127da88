"""From a spec to a torch module.

    logits = build_network(spec)(images)   # float (N, 3, H, W) normalised -> (N, K, H, W)

The module knows nothing of normalisation, sigmoids or thresholds; the first two are added by
`inference.InferenceGraph`, the last belongs to whoever uses the probabilities.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from buildext.learn.networks.decoders.unet import UnetDecoder
from buildext.learn.networks.heads import ConvHead, SubpixelHead
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.loading import load_strictly, state_dict_from_onnx
from buildext.learn.networks.padding import fix_same_padding
from buildext.learn.networks.registry import build_encoder
from buildext.learn.networks.spec import NetworkSpec, Normalisation

if TYPE_CHECKING:
    from buildext.models.card import Card


class SegmentationNetwork(nn.Module):
    """Encoder, decoder and head in a row."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder, widths = build_encoder(spec.encoder, spec.encoder_depth)
        self.decoder = UnetDecoder(widths, spec.decoder_channels)
        head = SubpixelHead if spec.head == "subpixel" else ConvHead
        self.head = head(spec.decoder_channels[-1], len(spec.channels))
        fix_same_padding(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised float images `(N, 3, H, W)` to logits `(N, K, H, W)`.

        `H` and `W` must be multiples of `spec.stride_divisor`.
        """
        features = self.encoder(images)
        logits: torch.Tensor = self.head(self.decoder(features[1:]))
        return logits


def build_network(spec: NetworkSpec) -> SegmentationNetwork:
    """A randomly initialised network; seed torch first for a repeatable one.

    Raises:
        ModelError: the encoder is unknown.
    """
    return SegmentationNetwork(spec)


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
    spec = NetworkSpec(
        encoder=card.network.encoder,
        decoder=card.network.decoder,
        decoder_channels=card.network.decoder_channels,
        channels=card.channels,
        head=card.network.head,
        encoder_depth=card.network.encoder_depth,
    )
    network = build_network(spec)
    load_strictly(network, state_dict_from_onnx(weights), str(weights))
    red, green, blue = card.mean
    red_std, green_std, blue_std = card.std
    normalisation = Normalisation((red, green, blue), (red_std, green_std, blue_std))
    return InferenceGraph(network, normalisation).eval()
