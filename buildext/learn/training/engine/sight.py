"""A network with eyes: raw pixels in, float32 logits out.

Two networks of one run (a teacher and its student, two peers) may have been pretrained on images
normalised in different ways. Each carries its own normalisation, and the batch stays uint8.
"""

from __future__ import annotations

import torch
from torch import nn

from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.training.engine.convolutions import ProcessorConvolutions


class Sight(nn.Module):
    """uint8 `(N, 3, H, W)` to logits `(N, K, H, W)`, computed in `precision`."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, network: SegmentationNetwork, normalisation: Normalisation, precision: torch.dtype
    ) -> None:
        super().__init__()
        self.network = network
        self.precision = precision
        mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
        # Not part of the state: the weights decide which constants are right.
        self.register_buffer("mean", mean.reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float32 logits, channels in the network's order."""
        scaled = (images.float() / 255.0 - self.mean) / self.std
        scaled = scaled.contiguous(memory_format=torch.channels_last)
        low = self.precision != torch.float32
        with (
            torch.autocast(images.device.type, self.precision, enabled=low),
            ProcessorConvolutions(),
        ):
            logits: torch.Tensor = self.network(scaled)
        return logits.float()
