"""What a network costs: its parameters, and the multiply-accumulate operations of one image."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """All learnable numbers, each once."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def count_macs(network: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates in convolutions, matrix products and attention on one RGB image.

    Papers count these and leave out norms, activations and additions. The network is left in the
    mode that it was in.
    """
    training = network.training
    network.eval()
    image = torch.zeros(1, 3, height, width, device=next(network.parameters()).device)
    # Fused attention hides its products from the counter; the plain one shows them.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(image)
    network.train(training)
    return int(counter.get_total_flops()) // 2
