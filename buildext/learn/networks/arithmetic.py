"""What a device computes by itself."""

from __future__ import annotations

import torch

# x86's two ways, then ARM's two, as torch.cpu.get_capabilities() calls them.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16.

    A processor without them still obeys: each number is widened and rounded again by scalar code,
    many times as slowly as in float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in BF16_INSTRUCTIONS)
