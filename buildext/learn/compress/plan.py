"""A plan: which quantiser stands in which slot, and the graph whose slots they are.

The same plan is run in torch (fake quantisation) and written as ONNX (`qdq`), so both are one
network by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from buildext.learn.compress.ir.graph import Graph, Slot
from buildext.learn.compress.ir.interpreter import TorchGraph
from buildext.learn.compress.quantiser import Quantiser, Uniform


@dataclass(frozen=True, slots=True)
class Plan:
    """A quantised network.

    Attributes:
        graph: simplified, its constants as the method left them.
        quantisers: by slot; a slot without one stays in floats.
    """

    graph: Graph
    quantisers: Mapping[Slot, Quantiser] = field(default_factory=dict)

    @property
    def is_uniform(self) -> bool:
        """Whether the plan can be written with `QuantizeLinear`."""
        return all(isinstance(q, Uniform) for q in self.quantisers.values())


class Simulation:
    """A plan run in torch with fake quantisation.

    Args:
        plan: what to run.
        device: where.
    """

    def __init__(self, plan: Plan, device: str | torch.device = "cpu") -> None:
        self._runner = TorchGraph(plan.graph, device)
        self._output = plan.graph.output_name
        self._patch = patch_of(self._runner, plan.quantisers)

    @torch.no_grad()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 `(N, C, H, W)` to float32 probabilities `(N, K, H, W)`."""
        return self._runner.run(image, self._patch)[self._output]


def patch_of(
    runner: TorchGraph, quantisers: Mapping[Slot, Quantiser]
) -> dict[Slot, Callable[[torch.Tensor], torch.Tensor]]:
    """What the quantisers do to the tensors in their slots; weights are quantised once."""
    nodes = runner.graph.by_name()
    patch: dict[Slot, Callable[[torch.Tensor], torch.Tensor]] = {}
    for slot, quantiser in quantisers.items():
        name = nodes[slot[0]].inputs[slot[1]]
        if name in runner.constants:
            patch[slot] = _Fixed(quantiser.fake(runner.constants[name]))
        else:
            patch[slot] = quantiser.fake
    return patch


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Puts a known tensor in place of whatever comes."""

    value: torch.Tensor

    def __call__(self, _: torch.Tensor) -> torch.Tensor:
        return self.value
