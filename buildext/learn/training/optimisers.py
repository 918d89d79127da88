"""The optimiser, its learning rate over time, and the running mean of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.training.config import ScheduleSection


def make_optimiser(network: SegmentationNetwork, schedule: ScheduleSection) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) in three groups.

    The encoder, which has seen a million photographs, moves slower than the rest; vectors (biases
    and batch-norm gains) are not decayed.
    """
    groups: dict[str, list[nn.Parameter]] = {"encoder": [], "rest": [], "vectors": []}
    encoder_vectors: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        in_encoder = name.startswith("encoder.")
        if parameter.ndim <= 1:
            (encoder_vectors if in_encoder else groups["vectors"]).append(parameter)
        else:
            groups["encoder" if in_encoder else "rest"].append(parameter)
    slow, decay = schedule.encoder_factor, schedule.weight_decay
    return torch.optim.AdamW(
        [
            {"params": groups["encoder"], "factor": slow, "weight_decay": decay},
            {"params": encoder_vectors, "factor": slow, "weight_decay": 0.0},
            {"params": groups["rest"], "factor": 1.0, "weight_decay": decay},
            {"params": groups["vectors"], "factor": 1.0, "weight_decay": 0.0},
        ],
        lr=schedule.learning_rate,
    )


def rate_factor(step: int, schedule: ScheduleSection) -> float:
    """The share of the full learning rate at a step: a linear rise, then half a cosine to 1 %."""
    if step < schedule.warm_up_steps:
        return (step + 1) / schedule.warm_up_steps
    length = max(1, schedule.steps - schedule.warm_up_steps)
    done = min(1.0, (step - schedule.warm_up_steps) / length)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def set_rate(optimiser: torch.optim.Optimizer, step: int, schedule: ScheduleSection) -> float:
    """Set each group's learning rate for a step; returns the fastest group's."""
    rate = schedule.learning_rate * rate_factor(step, schedule)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]
    return rate


class RunningMean:
    """An exponential moving average of a network's tensors, batch-norm statistics included.

    The average generalises better than the last iterate and is what is validated and exported.
    Early on, while the weights still move far, its memory is short: decay `(1 + t) / (10 + t)`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's tensors; counters are copied."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            mean = self.tensors[name]
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)
