"""Batches of tiles by number.

Tile `i` is sampled, augmented and given its targets from generators seeded with `i` alone. A
resumed run asks for the numbers that are left and gets the very same tiles; several processes of
one run each ask for their share of a batch and get together what one alone would have got.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.tiles.augment import augment
from buildext.learn.training.tiles.sampling import TileSampler
from buildext.learn.training.tiles.tensors import Batch, as_tensors


class TileNumbers(Dataset[Batch]):
    """Training tiles by their numbers."""

    def __init__(
        self, sampler: TileSampler, config: TrainingConfig, numbers: Sequence[int]
    ) -> None:
        self._sampler, self._config, self._numbers = sampler, config, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, position: int) -> Batch:
        number = self._numbers[position]
        rng = np.random.default_rng([self._config.seed, 2, number])
        tile = augment(self._sampler.sample(number), self._config.augment, rng)
        return as_tensors(tile, self._config)


def _start_worker(_: int) -> None:
    # Workers share the machine with the network; OpenCV would start a thread per core in each.
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Who ends a whole group (a terminal, a queue, a container) may reach the workers before the
    # main process, which would take their death for an error of the training. They end when the
    # main process tells them to, or is gone.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A tile that is being handed over when the main process ends is nobody's any more.
    sys.excepthook = _tell_unless_left_alone


def _tell_unless_left_alone(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, ConnectionError):
        sys.__excepthook__(kind, error, trace)


def make_loader(
    sampler: TileSampler,
    config: TrainingConfig,
    first_step: int,
    last_step: int,
    rank: int = 0,
    world: int = 1,
) -> DataLoader[Batch]:
    """Parts of batches from step `first_step` up to `last_step`, in order.

    A step's batch of `schedule.batch` tiles is cut into `accumulate` parts for each of `world`
    processes; this loader gives those of process `rank`.
    """
    schedule, workers = config.schedule, config.machine.workers
    share = schedule.batch // world
    numbers = [
        step * schedule.batch + rank * share + k
        for step in range(first_step, last_step)
        for k in range(share)
    ]
    options: dict[str, Any] = {}
    if workers:
        options = {"prefetch_factor": 3, "worker_init_fn": _start_worker}
    # A generator of its own: the loader draws from it at every start, and the global one must be
    # after a resumed start what it was without.
    return DataLoader(
        TileNumbers(sampler, config, numbers),
        batch_size=share // schedule.accumulate,
        num_workers=workers,
        generator=torch.Generator(),
        **options,
    )
