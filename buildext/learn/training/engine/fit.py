"""The engine: one phase, tiles in, weights moved.

    for each step: batch -> losses -> gradients -> optimiser -> running mean

It knows nothing of geodata and nothing of methods. Two runs with one config on one processor give
the same weights, whether or not one of them was interrupted and resumed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.training.config import SamplingSection, ScheduleSection
from buildext.learn.training.engine.checkpoint import PhaseState, load_checkpoint, save_checkpoint
from buildext.learn.training.engine.common import common_phase
from buildext.learn.training.engine.log import HELD_OUT, TrainingLog
from buildext.learn.training.engine.mining import (
    errors_file,
    find_errors,
    load_errors,
    save_errors,
)
from buildext.learn.training.engine.optimisers import (
    RunningMean,
    make_optimiser,
    parameter_groups,
    set_rate,
)
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.task import Losses, Task
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.tiles.errors import ErrorMap
from buildext.learn.training.tiles.loader import make_loader
from buildext.learn.training.tiles.sampling import TileSampler
from buildext.learn.training.tiles.tensors import Batch

log = logging.getLogger(__name__)

LOG_EVERY = 10
JUDGED_BY = "mean/building"
KEPT_NETWORK = "sight.network."


def fit(shop: Workshop, phase: Phase, task: Task) -> dict[str, float]:
    """Go through a phase and leave the running mean of the weights in `task`.

    A phase that a resumed run finds finished is not done again: its weights are loaded. So are
    those of a phase that another run has in common with this one.

    Returns:
        The held-out scores of the weights that are kept; empty without anything held out.

    Raises:
        ModelError: the loss is no longer a number, or the checkpoint does not fit.
    """
    schedule = _schedule_of(phase, shop.config.schedule)
    path = shop.next_checkpoint(phase.name)
    task.to(shop.device).to(memory_format=torch.channels_last)
    groups = parameter_groups(
        task.named_parameters(), _factors(phase, schedule.encoder_factor), schedule.weight_decay
    )
    optimiser = make_optimiser(groups, schedule)
    mean = RunningMean(task, schedule.ema_decay)
    state = PhaseState()
    if shop.resume and path.exists():
        state = load_checkpoint(path, task, mean.tensors, optimiser, shop.fingerprint)
    shared = None
    if shop.common and phase.common and not state.finished:
        shared = common_phase(shop.common, phase, task, shop.config, shop.steps)
    if shared and shared.path.exists():
        state = load_checkpoint(shared.path, task, mean.tensors, optimiser, shared.key)
        log.info("%s: taken up from a run that has it in common", phase.name)
    shop.earlier_s += state.seconds
    if not state.finished:
        # The log forgets what lies behind the checkpoint, so a finished phase leaves it alone.
        with TrainingLog(shop.folder, shop.steps + state.step, shop.is_main) as record:
            _train(shop, phase, task, schedule, optimiser, mean, state, record, path)
        if shop.is_main:
            save_checkpoint(path, task, mean.tensors, optimiser, state, shop.fingerprint)
            if shared:
                save_checkpoint(shared.path, task, mean.tensors, optimiser, state, shared.key)
        shop.accelerator.wait_for_everyone()
    shop.steps += phase.steps
    task.load_state_dict(state.best_mean or mean.tensors)
    return shop.validate(task.sight)


def _train(
    shop: Workshop,
    phase: Phase,
    task: Task,
    schedule: ScheduleSection,
    optimiser: torch.optim.Optimizer,
    mean: RunningMean,
    state: PhaseState,
    record: TrainingLog,
    path: Path,
) -> None:
    """The steps that are left of a phase; `state` follows them."""
    accelerator, offset, first = shop.accelerator, shop.steps, state.step
    model: nn.Module = accelerator.prepare_model(task)
    network = task.sight.network
    batches = _batches(shop, phase, task, mean, path, first)
    opened = -1
    shop.progress.start(f"training: {phase.name}", phase.steps - first)
    spent_s, started = state.seconds, time.monotonic()
    for step in range(first, phase.steps):
        wanted = phase.thaw.first_open(step, phase.steps)
        if wanted != opened:
            task.train()
            phase.thaw.apply(network, wanted)
            opened = wanted
        rate = set_rate(optimiser, step, schedule)
        optimiser.zero_grad(set_to_none=True)
        losses = _gradients(shop, model, batches, schedule.accumulate)
        norm = float(nn.utils.clip_grad_norm_(task.parameters(), schedule.clip_norm))
        if not math.isfinite(norm) or not math.isfinite(losses["total"]):
            raise ModelError(
                f"the loss is {losses['total']:.3g} with a gradient of {norm:.3g} at step "
                f"{offset + step} ({phase.name}); expected finite numbers",
                hint="lower schedule.learning_rate; the last checkpoint is intact (--resume)",
            )
        optimiser.step()
        mean.update(task, step)
        shop.progress.advance()
        state.step = done = step + 1
        state.seconds = spent_s + time.monotonic() - started
        last = done == phase.steps
        if done % LOG_EVERY == 0 or last:
            shop.tiles_s = (done - first) * schedule.batch / (time.monotonic() - started)
            values = {f"loss/{k}": v for k, v in losses.items()}
            record.add(
                offset + done, {**values, "rate": rate, "norm": norm, "tiles_s": shop.tiles_s}
            )
        if shop.pool.monitor and (done % schedule.validate_every == 0 or last):
            with _as_mean(task, mean):
                scores = shop.validate(task.sight)
            record.add(offset + done, {f"{HELD_OUT}{k}": v for k, v in scores.items()})
            told = ", ".join(
                f"{k.removeprefix('mean/')} {v:.3f}" for k, v in scores.items() if "mean/" in k
            )
            shop.progress.note(f"{phase.name}, step {done}: held-out {told}")
            _judge(state, scores, mean, schedule.patience)
            if schedule.patience and state.stale >= schedule.patience:
                log.info("%s: no gain in %d validations, stopped", phase.name, state.stale)
                break
        if shop.is_main and done % schedule.checkpoint_every == 0 and not last:
            save_checkpoint(path, task, mean.tensors, optimiser, state, shop.fingerprint)
    state.finished = True
    shop.progress.finish()


def _batches(
    shop: Workshop, phase: Phase, task: Task, mean: RunningMean, checkpoint: Path, first: int
) -> Iterator[Batch]:
    """The batches of the steps from `first` on; before some of them it is looked what is hard."""
    accelerator, config = shop.accelerator, shop.config
    scenes, options = list(phase.scenes), _sampling_of(phase, shop)
    every = options.mine_every if options.hard_tiles else phase.steps
    start = first
    while start < phase.steps:
        mined = start // every * every
        errors = _errors_after(mined, shop, phase, task, mean, checkpoint) if mined else None
        sampler = TileSampler(scenes, options, config.seed, errors)
        stop = min(mined + every, phase.steps)
        yield from make_loader(
            sampler,
            config,
            shop.steps + start,
            shop.steps + stop,
            accelerator.process_index,
            accelerator.num_processes,
        )
        start = stop


def _errors_after(
    step: int, shop: Workshop, phase: Phase, task: Task, mean: RunningMean, checkpoint: Path
) -> dict[str, ErrorMap]:
    """What the running mean got wrong after `step` steps, looked for where it is not known."""
    path = errors_file(checkpoint, step)
    if shop.is_main and not path.exists():
        shop.progress.note(f"{phase.name}, step {step}: looking for hard places")
        with _as_mean(task, mean):
            maps = find_errors(task.sight, phase.scenes, shop.config.sampling)
        save_errors(path, maps)
    shop.accelerator.wait_for_everyone()
    return load_errors(path)


def _gradients(
    shop: Workshop, model: nn.Module, batches: Iterator[Batch], parts: int
) -> dict[str, float]:
    """Add up the gradients of one step; returns the mean losses."""
    means: dict[str, float] = {}
    for batch in islice(batches, parts):
        losses: Losses = model(
            batch["image"].to(shop.device),
            batch["target"].to(shop.device).float(),
            batch["weight"].to(shop.device).float(),
        )
        shop.accelerator.backward(losses["total"] / parts)
        for name, value in losses.items():
            means[name] = means.get(name, 0.0) + float(value.detach()) / parts
    return means


def _judge(state: PhaseState, scores: dict[str, float], mean: RunningMean, patience: int) -> None:
    """Remember the best mean so far, where the phase may stop early."""
    if not patience:
        return
    score = scores.get(JUDGED_BY, float("nan"))
    if score > state.best:
        state.best, state.stale = score, 0
        state.best_mean = {k: v.clone() for k, v in mean.tensors.items()}
    else:
        state.stale += 1


@contextmanager
def _as_mean(task: Task, mean: RunningMean) -> Iterator[None]:
    """Within it the task has the running mean's weights; then its own, and its modes, again."""
    own = {k: v.clone() for k, v in task.state_dict().items()}
    modes = [(module, module.training) for module in task.modules()]
    task.load_state_dict(mean.tensors)
    try:
        yield
    finally:
        task.load_state_dict(own)
        for module, training in modes:
            module.training = training


def _schedule_of(phase: Phase, schedule: ScheduleSection) -> ScheduleSection:
    """The config's schedule bent to one phase: its own steps, peak rate and shorter warm-up."""
    return schedule.model_copy(
        update={
            "steps": phase.steps,
            "learning_rate": schedule.learning_rate * phase.rate,
            "warm_up_steps": min(schedule.warm_up_steps, phase.steps // 4),
        }
    )


def _sampling_of(phase: Phase, shop: Workshop) -> SamplingSection:
    """The config's sampling, with weights for the datasets of the phase alone."""
    names, sampling = {scene.dataset for scene in phase.scenes}, shop.config.sampling
    return sampling.model_copy(
        update={"weights": {k: v for k, v in sampling.weights.items() if k in names}}
    )


def _factors(phase: Phase, encoder_factor: float) -> Callable[[str], float]:
    """The share of the full rate by parameter name: encoders move slower, levels as thawed."""

    def factor_of(name: str) -> float:
        slow = encoder_factor if ".encoder." in name else 1.0
        if name.startswith(KEPT_NETWORK):
            return slow * phase.thaw.factor(name.removeprefix(KEPT_NETWORK))
        return slow

    return factor_of
