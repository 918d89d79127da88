"""Tiles as torch sees them."""

from __future__ import annotations

import numpy as np
import torch

from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.data.scenes import Tile
from buildext.learn.training.tiles.targets import make_targets

Batch = dict[str, torch.Tensor]


def as_tensors(tile: Tile, config: TrainingConfig) -> Batch:
    """`image` uint8 `(3, H, W)`, `target` and `weight` float16 `(K, H, W)`, 0 to 1."""
    target, weight = make_targets(tile, config.network.channels, config.loss)
    image = np.ascontiguousarray(np.moveaxis(tile.image, -1, 0))
    return {
        "image": torch.from_numpy(image),
        "target": torch.from_numpy(target),
        "weight": torch.from_numpy(weight),
    }
