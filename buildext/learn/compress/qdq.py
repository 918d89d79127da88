"""A plan written as ONNX: quantise and dequantise around every quantised operation.

`QuantizeLinear` and `DequantizeLinear` say what a tensor is rounded to; engines recognise the
pattern and run the operation between them in int8. Weights are stored as int8, which makes the file
a quarter of the float32 one.

Symmetric activations of layers are written with unsigned levels around a zero point in the middle,
which are the same numbers: OpenVINO 2026.4 computes convolutions on signed levels wrongly behind a
`Concat` (by a quarter of the output's range in a test of two maps and one layer). Products of two
computed tensors keep signed levels, since that is what their int8 kernels want.

Fewer than eight bits are stored in eight: the tensor is first cut to the range of its levels.
Such a file computes what six bits would, and is neither smaller nor faster.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.learn.compress.ir.graph import Graph, Node
from buildext.learn.compress.ir.operators import along
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.quantiser import Uniform
from buildext.learn.compress.sites import find_sites

STORED_BITS = 8


def with_qdq(plan: Plan) -> Graph:
    """The plan's graph with its quantisers as nodes.

    Raises:
        UsageError: a quantiser is not uniform, or has more than eight bits.
    """
    return _Writer(plan).write()


class _Writer:
    """Puts nodes in front of slots; equal quantisers of one tensor share theirs."""

    def __init__(self, plan: Plan) -> None:
        self._graph = plan.graph.copy()
        self._attention = {s.name for s in find_sites(plan.graph) if s.kind == "attention"}
        self._quantisers = plan.quantisers
        self._made: dict[tuple[str, bytes], str] = {}
        self._nodes: list[Node] = []

    def write(self) -> Graph:
        for node in self._graph.nodes:
            for position, name in enumerate(node.inputs):
                quantiser = self._quantisers.get((node.name, position))
                if quantiser is None:
                    continue
                if not isinstance(quantiser, Uniform) or quantiser.bits > STORED_BITS:
                    raise UsageError(
                        f"the quantiser of {node.name} is not uniform in at most eight bits and "
                        "cannot be written",
                        hint="choose another --target",
                    )
                if name not in self._graph.constants and node.name not in self._attention:
                    quantiser = _unsigned(quantiser)
                node.inputs[position] = self._in_front(name, quantiser)
            self._nodes.append(node)
        self._graph.nodes = self._nodes
        self._graph.drop_unused()
        return self._graph

    def _in_front(self, name: str, quantiser: Uniform) -> str:
        """The name of the tensor as the quantiser leaves it."""
        key = name, _identity(quantiser)
        if key not in self._made:
            stem = f"{name}.{sum(1 for other, _ in self._made if other == name)}"
            known = self._graph.constants.get(name)
            if known is None:
                self._made[key] = self._activation(name, stem, quantiser)
            else:
                self._made[key] = self._weight(known, stem, quantiser)
        return self._made[key]

    def _activation(self, name: str, stem: str, quantiser: Uniform) -> str:
        if quantiser.bits < STORED_BITS:
            name = self._cut(name, stem, quantiser)
        ends = self._ends(stem, quantiser)
        axis = {} if quantiser.axis is None else {"axis": quantiser.axis}
        self._add("QuantizeLinear", [name, *ends], f"{stem}.levels", axis)
        return self._add("DequantizeLinear", [f"{stem}.levels", *ends], f"{stem}.values", axis)

    def _weight(self, values: NDArray[np.float32], stem: str, quantiser: Uniform) -> str:
        dtype = np.int8 if quantiser.signed else np.uint8
        levels = quantiser.levels(torch.from_numpy(np.array(values))).numpy()
        stored = self._constant(f"{stem}.levels", levels.astype(dtype))
        axis = {} if quantiser.axis is None else {"axis": quantiser.axis}
        inputs = [stored, *self._ends(stem, quantiser)]
        return self._add("DequantizeLinear", inputs, f"{stem}.values", axis)

    def _cut(self, name: str, stem: str, quantiser: Uniform) -> str:
        low, high = quantiser.limits()
        # Of the right rank to lie along the channels of any map or token.
        like = torch.empty([1] * 4)
        low, high = along(low, like, quantiser.axis or 0), along(high, like, quantiser.axis or 0)
        lows = self._constant(f"{stem}.low", low.cpu().numpy().astype(np.float32))
        highs = self._constant(f"{stem}.high", high.cpu().numpy().astype(np.float32))
        raised = self._add("Max", [name, lows], f"{stem}.raised", {})
        return self._add("Min", [raised, highs], f"{stem}.cut", {})

    def _ends(self, stem: str, quantiser: Uniform) -> list[str]:
        """Names of the scale and the zero point, the latter's type telling the levels' type."""
        dtype = np.int8 if quantiser.signed else np.uint8
        scale = quantiser.scale.cpu().numpy().astype(np.float32)
        zero = quantiser.zero.cpu().numpy().astype(dtype)
        return [self._constant(f"{stem}.scale", scale), self._constant(f"{stem}.zero", zero)]

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        self._graph.constants[name] = values
        return name

    def _add(self, op: str, inputs: list[str], made: str, attributes: dict[str, int]) -> str:
        self._nodes.append(Node(f"{made}.{op}", op, inputs, [made], attributes))
        return made


def _unsigned(quantiser: Uniform) -> Uniform:
    """The same values told by levels from 0 on."""
    return replace(quantiser, zero=quantiser.zero - quantiser.lowest, signed=False)


def _identity(quantiser: Uniform) -> bytes:
    """Bytes that two quantisers have in common only if they do the same."""
    parts = (quantiser.bits, quantiser.signed, quantiser.axis)
    numbers = (quantiser.scale, quantiser.zero)
    return repr(parts).encode() + b"".join(n.cpu().numpy().tobytes() for n in numbers)
