"""The network with its two ends: uint8 pixels in, probabilities out."""

from __future__ import annotations

import torch
from torch import nn

from buildext.learn.networks.normalisation import Normalisation


class InferenceGraph(nn.Module):
    """Normalisation, a network, sigmoid: what is exported and what engines run.

    Args:
        network: float `(N, 3, H, W)` to logits `(N, K, H, W)`.
        normalisation: of RGB in `[0, 1]`.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        mean, std = torch.tensor(normalisation.mean), torch.tensor(normalisation.std)
        self.register_buffer("scale", (1.0 / (255.0 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("offset", (mean / std).reshape(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 `(N, 3, H, W)` to float32 probabilities `(N, K, H, W)`."""
        logits = self.network(image.float() * self.scale - self.offset)
        return torch.sigmoid(logits.float())
