"""The arithmetic of a training: bfloat16 where the device computes it, else float32.

A processor without instructions for bfloat16 still obeys: each number is widened and rounded again
in scalar code, and a training takes several times as long as in float32 (docs/training.md has the
figures). So `auto` asks the processor first.
"""

from __future__ import annotations

import logging

import torch

from buildext.learn.training.config import MachineSection

log = logging.getLogger(__name__)

# x86's two ways, then ARM's two, as torch.cpu.get_capabilities() calls them.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


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


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes bfloat16 by itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in BF16_INSTRUCTIONS)


def warn_if_emulated(precision: torch.dtype, device: torch.device) -> None:
    """Say it where a training will crawl."""
    if precision == torch.bfloat16 and not has_bf16(device):
        log.warning(
            "machine.precision is bf16, for which this device has no instructions: the training "
            "takes many times as long as in float32, which auto would choose"
        )
