"""From a spec to a torch module.

    logits = build_network(spec)(images)   # float (N, 3, H, W) normalised -> (N, K, H, W)

The module knows nothing of normalisation, sigmoids or thresholds; those belong to the exported
graph (`buildext.learn.compress.export`) and to whoever uses the probabilities.
"""

from __future__ import annotations

import torch
from torch import nn

from buildext.learn.networks.decoders.unet import UnetDecoder
from buildext.learn.networks.heads import ConvHead, SubpixelHead
from buildext.learn.networks.padding import fix_same_padding
from buildext.learn.networks.registry import build_encoder
from buildext.learn.networks.spec import NetworkSpec


class SegmentationNetwork(nn.Module):
    """Encoder, decoder and head in a row."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = build_encoder(spec.encoder, spec.encoder_depth)
        self.decoder = UnetDecoder(self.encoder.out_channels[1:], spec.decoder_channels)
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
