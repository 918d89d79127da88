"""What one phase of a training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from buildext.learn.training.config import LossSection
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.losses import segmentation_loss

Losses = dict[str, torch.Tensor]


class Task(nn.Module, ABC):
    """Networks and a loss over a batch.

    Attributes:
        sight: the network that is validated and kept.
    """

    def __init__(self, sight: Sight, options: LossSection) -> None:
        super().__init__()
        self.sight = sight
        self.options = options

    @abstractmethod
    def forward(self, image: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> Losses:
        """The parts of the loss and their `total`.

        Args:
            image: uint8 `(N, 3, H, W)`.
            target: float32 `(N, K, H, W)` in `[0, 1]`.
            weight: float32 `(N, K, H, W)`; 0 where nothing is known.
        """

    def label_loss(
        self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
    ) -> Losses:
        """What the labels alone ask for."""
        return segmentation_loss(logits, target, weight, self.sight.network.channels, self.options)
