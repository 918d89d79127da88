"""The arithmetic of a training: bfloat16 where the device computes it, else float32.

A processor without instructions for bfloat16 trains several times as fast in float32, so `auto`
asks it first; docs/training.md has the figures.
"""

from __future__ import annotations

import logging

import torch

from buildext.learn.networks.arithmetic import has_bf16
from buildext.learn.training.config import MachineSection

log = logging.getLogger(__name__)


def precision_of(machine: MachineSection, device: torch.device) -> torch.dtype:
    """What a training computes its convolutions in.

    Args:
        machine: its `precision` is `auto`, `bf16` or `float32`.
        device: that is trained on.
    """
    if machine.precision == "float32":
        return torch.float32
    wanted = machine.precision == "bf16" or has_bf16(device)
    return torch.bfloat16 if wanted else torch.float32


def warn_if_emulated(precision: torch.dtype, device: torch.device) -> None:
    """Say it where a training will crawl."""
    if precision == torch.bfloat16 and not has_bf16(device):
        log.warning(
            "machine.precision is bf16, for which this device has no instructions: the training "
            "takes many times as long as in float32, which auto would choose"
        )
