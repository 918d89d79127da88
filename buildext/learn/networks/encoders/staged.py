"""Encoders that are a stem and stages, each stage halving the map of the one before."""

from __future__ import annotations

import torch
from torch import nn


class StagedEncoder(nn.Module):
    """A stem that gives the maps at strides 2 and 4, and stages from there.

    Attributes:
        stem: from images to `(half, quarter)`; the former is a map as it is, the latter goes on.
        stages: the first keeps the stride of 4, each other one halves.
    """

    stem: nn.Module
    stages: nn.ModuleList

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Normalised images `(N, 3, H, W)`, sides multiples of 32, to `depth + 1` maps."""
        half, x = self.stem(images)
        maps = [images, half]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
