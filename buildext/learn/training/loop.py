"""The loop: tiles in, weights out.

    for each step: batch -> logits -> loss -> gradients -> optimiser -> running mean

It knows nothing of files but its own folder (checkpoint and log) and nothing of geodata. Two runs
with one config on one processor give the same weights, whether or not one of them was interrupted
and resumed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from buildext.errors import ModelError, UsageError
from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.log import HELD_OUT, TrainingLog
from buildext.learn.training.losses import segmentation_loss
from buildext.learn.training.monitor import score_tiles
from buildext.learn.training.optimisers import RunningMean, make_optimiser, set_rate
from buildext.learn.training.sampling import TileSampler
from buildext.learn.training.tiles import Batch, make_loader
from buildext.progress import Progress

log = logging.getLogger(__name__)

LOG_EVERY = 10


class Normalise(nn.Module):
    """uint8 `(N, 3, H, W)` to floats of mean 0 and deviation 1, channels last in memory."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise a batch."""
        scaled: torch.Tensor = (images.float() / 255.0 - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)


def choose_device(name: str) -> torch.device:
    """The device of a config: `auto` is CUDA where there is one.

    Raises:
        UsageError: the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"got the device {name!r}, which does not exist here", hint="use auto, cpu or cuda"
        ) from error
    return device


def train_network(
    network: SegmentationNetwork,
    sampler: TileSampler,
    monitor: Mapping[str, Sequence[Batch]],
    config: TrainingConfig,
    folder: Path,
    fingerprint: str,
    progress: Progress,
    *,
    resume: bool = False,
) -> dict[str, float]:
    """Train `network` in place and leave its running mean in it.

    Args:
        network: freshly built, its encoder perhaps pretrained.
        sampler: where tiles come from.
        monitor: held-out tiles by dataset, scored every `schedule.validate_every` steps.
        config: everything else.
        folder: exists; gets `checkpoint.safetensors`, `log.csv` and `tensorboard/`.
        fingerprint: identifies config and data; a checkpoint of another one is refused.
        progress: told each step.
        resume: go on from the checkpoint in `folder`.

    Returns:
        The last scores on `monitor`.

    Raises:
        ModelError: the loss is no longer a number, or the checkpoint does not fit.
    """
    schedule = config.schedule
    device = choose_device(config.machine.device)
    if config.machine.threads:
        torch.set_num_threads(config.machine.threads)
    precision = torch.bfloat16 if config.machine.precision == "bf16" else torch.float32
    network.to(device).to(memory_format=torch.channels_last)
    normalisation = config.network.normalisation()
    prepare = Normalise(normalisation.mean, normalisation.std).to(device)
    optimiser = make_optimiser(network, schedule)
    mean = RunningMean(network, schedule.ema_decay)
    path = folder / FILE_NAME
    first = load_checkpoint(path, network, mean, optimiser, fingerprint) if resume else 0
    scores: dict[str, float] = {}
    progress.start("training", schedule.steps - first)
    started = time.monotonic()
    with TrainingLog(folder, first) as record:
        for step, batch in enumerate(make_loader(sampler, config, first), start=first):
            network.train()
            rate = set_rate(optimiser, step, schedule)
            images = prepare(batch["image"].to(device))
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                logits = network(images)
            losses = segmentation_loss(
                logits.float(),
                batch["target"].to(device).float(),
                batch["weight"].to(device).float(),
                network.channels,
                config.loss,
            )
            optimiser.zero_grad(set_to_none=True)
            losses["total"].backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(network.parameters(), schedule.clip_norm)
            if not math.isfinite(float(norm)):
                raise ModelError(
                    f"the gradient is no longer finite at step {step}",
                    hint="lower learning_rate; the last checkpoint is intact",
                )
            optimiser.step()
            mean.update(network, step)
            progress.advance()
            done = step + 1
            if done % LOG_EVERY == 0 or done == schedule.steps:
                speed = (done - first) * schedule.batch / (time.monotonic() - started)
                values = {f"loss/{k}": float(v.detach()) for k, v in losses.items()}
                record.add(done, {**values, "rate": rate, "norm": float(norm), "tiles_s": speed})
            if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                save_checkpoint(path, network, mean, optimiser, done, fingerprint)
            if monitor and (done % schedule.validate_every == 0 or done == schedule.steps):
                scores = _score_mean(network, mean, monitor, prepare, device, precision)
                record.add(done, {f"{HELD_OUT}{k}": v for k, v in scores.items()})
                told = ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if k.startswith("mean"))
                progress.note(f"step {done}: held-out F1 {told}")
    progress.finish()
    network.load_state_dict(mean.tensors)
    return scores


def _score_mean(
    network: SegmentationNetwork,
    mean: RunningMean,
    monitor: Mapping[str, Sequence[Batch]],
    prepare: nn.Module,
    device: torch.device,
    precision: torch.dtype,
) -> dict[str, float]:
    """Scores of the running mean; the network gets its own weights back."""
    own = {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(mean.tensors)
    try:
        return score_tiles(network, monitor, prepare, device, precision)
    finally:
        network.load_state_dict(own)
