"""The optimiser, the groups of parameters that it moves, and the running mean of the weights.

    factor_of = slower_encoder(schedule.encoder_factor)
    groups = parameter_groups(network.named_parameters(), factor_of, schedule.weight_decay)
    optimiser = make_optimiser(groups, schedule)
    for step in ...:
        rate = set_rate(optimiser, step, schedule)

Each group keeps its own share of the learning rate as `group["factor"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from buildext.learn.training.config import ScheduleSection
from buildext.learn.training.engine.schedules import rate_factor


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a rate.

    Attributes:
        parameters: in the order of the network.
        factor: their share of the learning rate.
        weight_decay: how strongly they are pulled towards 0.
    """

    parameters: tuple[nn.Parameter, ...]
    factor: float
    weight_decay: float


def slower_encoder(factor: float) -> Callable[[str], float]:
    """The rate of an encoder that has seen a million photographs: `factor`, and 1 for the rest."""

    def factor_of(name: str) -> float:
        return factor if name.startswith("encoder.") else 1.0

    return factor_of


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    factor_of: Callable[[str], float],
    weight_decay: float,
) -> list[ParameterGroup]:
    """One group for each rate, matrices apart from vectors.

    Vectors (biases and the gains of norms) are not decayed: they do not overfit, and a norm's gain
    of 0 is no simpler than one of 1.

    Args:
        named: such as `network.named_parameters()`; frozen ones may be among them.
        factor_of: the share of the learning rate, from a parameter's name.
        weight_decay: of matrices.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        decay = weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((factor_of(name), decay), []).append(parameter)
    return [ParameterGroup(tuple(own), *key) for key, own in groups.items()]


def make_optimiser(
    groups: Sequence[ParameterGroup], schedule: ScheduleSection
) -> torch.optim.Optimizer:
    """The optimiser that `schedule.optimiser` names, from torch.

    | name | what | `weight_decay` is |
    |---|---|---|
    | `sgd` | stochastic gradient descent with Nesterov's momentum (Sutskever et al. 2013) | L2 |
    | `adam` | Adam (Kingma & Ba 2015) | L2 |
    | `adamw` | Adam, decay apart from the gradient (Loshchilov & Hutter 2019) | decoupled |
    | `rmsprop` | RMSprop (Hinton 2012) with momentum | L2 |
    | `nadam` | Adam with Nesterov's momentum (Dozat 2016) | decoupled |
    | `radam` | Adam that waits until its variance can be trusted (Liu et al. 2020) | decoupled |

    L2 is added to the gradient, and adaptive optimisers then divide it by the gradient's size;
    decoupled decay shrinks the weights by `rate * weight_decay` a step.
    """
    parts = [
        {
            "params": list(group.parameters),
            "factor": group.factor,
            "weight_decay": group.weight_decay,
        }
        for group in groups
    ]
    rate, betas, momentum = schedule.learning_rate, schedule.betas, schedule.momentum
    match schedule.optimiser:
        case "sgd":
            return torch.optim.SGD(parts, lr=rate, momentum=momentum, nesterov=True)
        case "adam":
            return torch.optim.Adam(parts, lr=rate, betas=betas)
        case "adamw":
            return torch.optim.AdamW(parts, lr=rate, betas=betas)
        case "rmsprop":
            return torch.optim.RMSprop(parts, lr=rate, momentum=momentum)
        case "nadam":
            return torch.optim.NAdam(parts, lr=rate, betas=betas, decoupled_weight_decay=True)
        case "radam":
            return torch.optim.RAdam(parts, lr=rate, betas=betas, decoupled_weight_decay=True)


def set_rate(optimiser: torch.optim.Optimizer, step: int, schedule: ScheduleSection) -> float:
    """Set each group's learning rate for a step; returns the rate of factor 1."""
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
