"""Which parameters a phase may change, and when.

Fine-tuning on few labels forgets less if the early layers, which see edges and textures, hold
still. A frozen parameter gets no gradient, and the batch normalisation in front of it keeps its
statistics: else a frozen encoder would drift all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Unfreeze = Literal["full", "decoder", "gradual", "discriminative"]


@dataclass(frozen=True, slots=True)
class Thaw:
    """A plan over one phase.

    Attributes:
        kind: `full`; `decoder`: the encoder stays frozen; `gradual`: the decoder first, then one
            encoder level more, deepest first, in each of as many equal parts of the phase as there
            are levels (Howard & Ruder 2018, by schedule instead of by epochs without gain);
            `discriminative`: all, with rates that fall by `decay` a level.
        levels: of each parameter, see `levels.parameter_levels`; may be empty for `full`.
        decay: of `discriminative`.
    """

    kind: Unfreeze = "full"
    levels: Mapping[str, int] = field(default_factory=dict)
    decay: float = 1.0

    def first_open(self, step: int, steps: int) -> int:
        """The lowest level that learns at `step` of `steps`."""
        if self.kind in ("full", "discriminative"):
            return 0
        top = max(self.levels.values())
        if self.kind == "decoder":
            return top
        return top - min(top - 1, step * top // steps)

    def factor(self, name: str) -> float:
        """The share of the full rate that a parameter gets."""
        if self.kind != "discriminative":
            return 1.0
        return float(self.decay ** (max(self.levels.values()) - self.levels[name]))

    def apply(self, network: nn.Module, first_open: int) -> None:
        """Put `network` in training mode, but for what lies below `first_open`."""
        network.train()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(first_open == 0 or self.levels[name] >= first_open)
        for module in network.modules():
            own = list(module.parameters(recurse=False))
            if isinstance(module, _BatchNorm) and own and not own[0].requires_grad:
                module.eval()
