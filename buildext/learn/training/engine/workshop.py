"""The workshop: all that stays the same while a method goes through its phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from buildext.errors import UsageError
from buildext.learn.training.config import NetworkSection, TrainingConfig
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.monitor import score_tiles
from buildext.learn.training.engine.pool import Pool
from buildext.learn.training.engine.precision import precision_of
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.tiles.tensors import Batch
from buildext.progress import Progress

PHASES = "phases"
CHECKPOINT = "checkpoint.safetensors"


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """The device of a run, or of this process's share of it.

    Several processes (started by `torchrun -m buildext train ...`) work on one batch together;
    accelerate gives each its device and joins their gradients.

    Raises:
        UsageError: the device does not exist here, or the batch cannot be shared out.
    """
    machine, schedule = config.machine, config.schedule
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("got the device 'cuda', which does not exist here", hint="use auto or cpu")
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(
        cpu=machine.device == "cpu", mixed_precision="no", kwargs_handlers=[unused]
    )
    parts = accelerator.num_processes * schedule.accumulate
    if schedule.batch % parts:
        raise UsageError(
            f"got a batch of {schedule.batch} tiles for {accelerator.num_processes} process(es) "
            f"and {schedule.accumulate} part(s) each; expected a multiple of {parts}",
            hint="change schedule.batch or schedule.accumulate",
        )
    if machine.threads:
        torch.set_num_threads(machine.threads)
    return accelerator


@dataclass(slots=True)
class Workshop:
    """Where a method works.

    Attributes:
        config: of the run.
        pool: its data.
        folder: of the run; phases keep their checkpoints below it.
        fingerprint: identifies config and data; a checkpoint of another one is refused.
        accelerator: gives the device.
        progress: told each step.
        resume: go on from the checkpoints in `folder`.
        sight: the network of the run, as it was built.
        steps: done in all phases so far.
        phases: begun so far.
        built: other networks built so far.
        tiles_s: tiles seen a second in the last phase that did a step; nan without one.
        earlier_s: seconds of training that were spent before, in another process or run.
        common: folder of finished phases that runs share; None where none are.
    """

    config: TrainingConfig
    pool: Pool
    folder: Path
    fingerprint: str
    accelerator: Accelerator
    progress: Progress
    resume: bool
    sight: Sight
    steps: int = 0
    phases: int = 0
    built: int = 0
    tiles_s: float = float("nan")
    earlier_s: float = 0.0
    common: Path | None = None

    @property
    def device(self) -> torch.device:
        """Where tensors lie."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def precision(self) -> torch.dtype:
        """Of the networks' arithmetic."""
        return precision_of(self.config.machine, self.device)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return bool(self.accelerator.is_main_process)

    def next_checkpoint(self, name: str) -> Path:
        """Where the next phase keeps its state."""
        self.phases += 1
        folder = self.folder / PHASES / f"{self.phases:02d}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / CHECKPOINT

    def build(self, section: NetworkSection) -> Sight:
        """Another network of this run, each with random parts of its own."""
        self.built += 1
        seed = self.config.seed + 1000 * self.built
        return build_sight(section, seed, self.precision).to(self.device)

    def score(self, sight: Sight, tiles: Mapping[str, Sequence[Batch]]) -> dict[str, float]:
        """Scores on some held-out tiles."""
        limits_m, range_m = self.config.sampling.height_limits_m, self.config.loss.offset_range_m
        return score_tiles(sight, tiles, limits_m, range_m)

    def validate(self, sight: Sight) -> dict[str, float]:
        """Scores on what is held out for monitoring."""
        return self.score(sight, self.pool.monitor)
