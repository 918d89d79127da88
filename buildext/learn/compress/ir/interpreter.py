"""Running a graph in torch, with a hand in it.

Engines give the last tensor of a network; to quantise one needs the tensors in between, their
gradients, and the power to change what a node sees. `TorchGraph.run` computes node after node and
forgets a tensor after its last use, except what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.learn.compress.ir.graph import Graph, Slot
from buildext.learn.compress.ir.operators import complete, compute

Patch = Mapping[Slot, Callable[[torch.Tensor], torch.Tensor]]


class TorchGraph:
    """A graph with its constants as tensors.

    Args:
        graph: must not change afterwards.
        device: where floats are computed; numbers that count sizes stay on the CPU.
    """

    def __init__(self, graph: Graph, device: str | torch.device = "cpu") -> None:
        self.graph = graph
        self.device = torch.device(device)
        self.constants = {name: self._tensor(value) for name, value in graph.constants.items()}
        self._nodes = [(node, complete(node)) for node in graph.nodes]
        self._last_use: dict[str, int] = {}
        for index, node in enumerate(graph.nodes):
            self._last_use.update(dict.fromkeys(node.inputs, index))

    def _tensor(self, value: NDArray[Any]) -> torch.Tensor:
        made = torch.from_numpy(np.array(value))
        return made.to(self.device) if made.is_floating_point() else made

    def run(
        self, image: torch.Tensor, patch: Patch | None = None, keep: Collection[str] = ()
    ) -> dict[str, torch.Tensor]:
        """Compute the graph's output.

        Args:
            image: uint8 `(N, C, H, W)`.
            patch: what to do to the tensor in a slot before its node sees it.
            keep: names of tensors wanted besides the output.

        Returns:
            The tensors of `keep` and the output by name.

        Raises:
            ModelError: the graph has an operation that is not known here.
        """
        patch = patch or {}
        kept = {self.graph.output_name, *keep}
        values: dict[str, Any] = {**self.constants, self.graph.input_name: image.to(self.device)}
        for index, (node, attributes) in enumerate(self._nodes):
            inputs: list[Any] = [values[name] if name else None for name in node.inputs]
            for position, value in enumerate(inputs):
                change = patch.get((node.name, position))
                if change is not None:
                    inputs[position] = change(value)
            made = compute(node.op, inputs, attributes)
            # A node need not name all of its outputs.
            values.update(zip(node.outputs, made[: len(node.outputs)], strict=True))
            for name in node.inputs:
                if self._last_use.get(name) == index and name not in kept:
                    values.pop(name, None)
        return {name: values[name] for name in kept}
