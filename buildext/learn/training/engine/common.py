"""Phases that several runs have in common are trained once.

In a study the noisy stage of SDA is the same whatever comes after it, and so is a teacher. A phase
that a method marks as `common` is kept under the hash of everything that it depends on; a run whose
phase has the same hash takes it up from there, its optimiser, its running mean and the state of the
random generator included, so that it goes on bit for bit as if it had trained the phase itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import nn

from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.precision import precision_of


@dataclass(frozen=True, slots=True)
class CommonPhase:
    """A phase that other runs may have, too.

    Attributes:
        key: the hash of all that it depends on, which its checkpoint has for a fingerprint.
        path: of the checkpoint, which is there once a run has finished the phase.
    """

    key: str
    path: Path


def common_phase(
    folder: Path, phase: Phase, task: nn.Module, config: TrainingConfig, offset: int
) -> CommonPhase:
    """The place of a phase among those that runs share; see `phase_key`."""
    folder.mkdir(parents=True, exist_ok=True)
    key = phase_key(phase, task, config, offset)
    return CommonPhase(key, folder / f"{key}.safetensors")


def phase_key(phase: Phase, task: nn.Module, config: TrainingConfig, offset: int) -> str:
    """The hash of all that the weights after a phase depend on, as 64 hex digits.

    Args:
        phase: not begun.
        task: with the weights that the phase starts from.
        config: of the run; of it counts what a phase looks at.
        offset: steps done before; tiles are drawn by their number.
    """
    parts = config.model_dump(
        mode="json", include={"seed", "sampling", "augment", "loss", "schedule"}
    )
    device = next(task.parameters()).device
    parts["precision"] = str(precision_of(config.machine, device))
    parts["phase"] = [type(task).__qualname__, phase.steps, phase.rate, repr(phase.thaw), offset]
    # Padding and drawing of empty tiles depend on the channels and on nothing else of the network.
    parts["channels"] = config.network.channels
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for name, tensor in task.state_dict().items():
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    digest.update(_bytes(torch.get_rng_state()))
    for scene in phase.scenes:
        _add_scene(digest, scene)
    return digest.hexdigest()


def _add_scene(digest: hashlib._Hash, scene: LabelledScene) -> None:
    for field in fields(scene):
        value = getattr(scene, field.name)
        digest.update(field.name.encode())
        array = isinstance(value, np.ndarray)
        digest.update(np.ascontiguousarray(value).data if array else repr(value).encode())


def _bytes(tensor: torch.Tensor) -> memoryview:
    plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return plain.numpy().data
