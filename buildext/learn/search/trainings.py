"""Trainings of a search: ordinary runs of the training engine, short and many.

Each candidate goes through the same config with the same seed and the same tiles in the same order;
only the network differs. A run has its own folder and goes on from its checkpoint, so a search that
was killed loses less than one training. With several workers each run gets a process of its own
from a pool; what comes out does not depend on how many there are.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from buildext.errors import InputError, OutputError, UsageError
from buildext.learn.search.config import BudgetSection
from buildext.learn.training.config import NetworkSection, TrainingConfig
from buildext.learn.training.engine.pool import Pool, SceneCache, read_pool
from buildext.learn.training.run import RESULT_FILE, run_config
from buildext.learn.training.tiles.sampling import TileSampler
from buildext.learn.training.tiles.tensors import Batch, as_tensors
from buildext.models.card import NetworkSpec
from buildext.progress import Progress, SilentProgress

log = logging.getLogger(__name__)

PROXY_TILES = 8


@dataclass(frozen=True, slots=True)
class Job:
    """One training.

    Attributes:
        key: of the candidate.
        config: of the run.
        folder: of the run.
    """

    key: str
    config: TrainingConfig
    folder: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a training.

    Attributes:
        key: of the candidate.
        scores: by name, see `training.run.RunResult`; none where it failed.
        seconds: of training.
        reason: why it failed.
    """

    key: str
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""


class Trainer:
    """Trains candidates.

    Args:
        training: the config that they share.
        base: what its paths are relative to.
        folder: of the runs.
        budget: steps and workers.
        seed: of every run.
        progress: told each step, or each run where several go on at a time.
    """

    def __init__(
        self,
        training: TrainingConfig,
        base: Path,
        folder: Path,
        budget: BudgetSection,
        seed: int,
        progress: Progress,
    ) -> None:
        if training.network.weights or training.start:
            raise UsageError(
                "got pretrained weights for the candidates of a search; there are none for "
                "networks that nobody has seen yet",
                hint="leave network.weights and start out of the training config",
            )
        self._training = training.model_copy(update={"seed": seed})
        self._base, self._folder, self._budget = base, folder, budget
        self._progress = progress
        self._cache = SceneCache()

    @property
    def base(self) -> Path:
        """What the paths of the config are relative to."""
        return self._base

    @property
    def channels(self) -> tuple[str, ...]:
        """What the candidates predict."""
        return tuple(self._training.network.channels)

    def config(self, spec: NetworkSpec, steps: int) -> TrainingConfig:
        """The run of a network."""
        old = self._training.network
        network = NetworkSection(
            **spec.model_dump(), channels=old.channels, mean=old.mean, std=old.std
        )
        schedule = self._training.schedule.model_copy(
            update={"steps": steps, "validate_every": steps}
        )
        return self._training.model_copy(update={"network": network, "schedule": schedule})

    def job(self, key: str, spec: NetworkSpec, steps: int) -> Job:
        """The training of a candidate."""
        return Job(key, self.config(spec, steps), self._folder / f"{key}-{steps}")

    def batch(self) -> Batch:
        """A few tiles of the training, the same ones whenever they are asked for."""
        pool = self._pool()
        sampler = TileSampler(pool.scenes("all"), self._training.sampling, self._training.seed)
        tiles = [as_tensors(sampler.sample(i), self._training) for i in range(PROXY_TILES)]
        return {name: torch.stack([tile[name] for tile in tiles]) for name in tiles[0]}

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Train, and hand each outcome out in the order of the jobs.

        Raises:
            InputError, OutputError, UsageError: what would fail every run.
        """
        if self._budget.workers == 1 or len(jobs) < 2:
            for job in jobs:
                yield train_job(job, self._base, self._progress, self._cache)
            return
        # Read once here, so that data that are missing are told before processes are started.
        self._pool()
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self._budget.workers, mp_context=context) as pool:
            futures = [pool.submit(train_alone, job, self._base) for job in jobs]
            for future in futures:
                yield future.result()

    def _pool(self) -> Pool:
        return read_pool(self._training, self._base, self._progress, self._cache)


def train_job(job: Job, base: Path, progress: Progress, cache: SceneCache | None = None) -> Outcome:
    """Do one training, or go on with it, or read what it came to."""
    try:
        result = _finished(job.folder)
        if result is None:
            started = time.monotonic()
            done = run_config(
                job.config,
                base,
                job.folder,
                resume=job.folder.exists(),
                progress=progress,
                export=False,
                cache=cache,
            )
            log.info("%s: trained in %.0f s", job.key, time.monotonic() - started)
            result = asdict(done)
    except (OutputError, InputError, UsageError):
        raise
    except Exception as error:
        # Anything that an architecture may do to torch is a finding.
        log.debug("%s failed", job.key, exc_info=True)
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return Outcome(job.key, reason=reason)
    return Outcome(job.key, result["scores"], result["seconds"])


_CACHE = SceneCache()


def train_alone(job: Job, base: Path) -> Outcome:
    """Do one training in a process of the pool, which reads the scenes once."""
    return train_job(job, base, SilentProgress(), _CACHE)


def _finished(folder: Path) -> dict[str, Any] | None:
    try:
        result: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return result
