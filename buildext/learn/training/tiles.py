"""Tiles as torch sees them: a map-style dataset over tile numbers.

Tile `i` is sampled, augmented and given its targets from generators seeded with `i` alone. A
resumed run asks for the numbers that are left and gets the very same tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from buildext.learn.training.augment import augment
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.sampling import TileSampler
from buildext.learn.training.scenes import Tile
from buildext.learn.training.targets import make_targets

Batch = dict[str, torch.Tensor]


def as_tensors(tile: Tile, config: TrainingConfig) -> Batch:
    """`image` uint8 `(3, H, W)`, `target` and `weight` uint8 `(K, H, W)`."""
    target, weight = make_targets(tile, config.network.channels, config.loss)
    image = np.ascontiguousarray(np.moveaxis(tile.image, -1, 0))
    return {
        "image": torch.from_numpy(image),
        "target": torch.from_numpy(target),
        "weight": torch.from_numpy(weight),
    }


class TileDataset(Dataset[Batch]):
    """Training tiles `first` to `stop`."""

    def __init__(self, sampler: TileSampler, config: TrainingConfig, first: int, stop: int) -> None:
        self._sampler, self._config = sampler, config
        self._first, self._stop = first, stop

    def __len__(self) -> int:
        return self._stop - self._first

    def __getitem__(self, position: int) -> Batch:
        index = self._first + position
        rng = np.random.default_rng([self._config.seed, 2, index])
        tile = augment(self._sampler.sample(index), self._config.augment, rng)
        return as_tensors(tile, self._config)


def _start_worker(_: int) -> None:
    # Workers share the machine with the network; OpenCV would start a thread per core in each.
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def make_loader(sampler: TileSampler, config: TrainingConfig, first_step: int) -> DataLoader[Batch]:
    """Batches from step `first_step` to the last, in order."""
    size = config.schedule.batch
    dataset = TileDataset(sampler, config, first_step * size, config.schedule.steps * size)
    workers = config.machine.workers
    options: dict[str, Any] = {}
    if workers:
        options = {"prefetch_factor": 3, "worker_init_fn": _start_worker}
    # A generator of its own: the loader draws from it at every start, and the global one must be
    # after a resumed start what it was without.
    return DataLoader(
        dataset, batch_size=size, num_workers=workers, generator=torch.Generator(), **options
    )
