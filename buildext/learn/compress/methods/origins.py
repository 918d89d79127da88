"""What kind of values a slot receives: told by the operation that made them."""

from __future__ import annotations

from typing import Literal

from buildext.learn.compress.ir.graph import Graph, Node, Slot, data_inputs

Origin = Literal["softmax", "gelu", "silu", "layer norm", "other"]
# These change neither values nor their order along channels.
PASSING = ("Reshape", "Transpose", "Identity", "Squeeze", "Unsqueeze", "Expand", "Flatten")


def source_of(graph: Graph, slot: Slot) -> Node | None:
    """The operation whose values reach a slot, moved at most."""
    producers = graph.producers()
    name = graph.by_name()[slot[0]].inputs[slot[1]]
    node = producers.get(name)
    while node is not None and node.op in PASSING:
        node = producers.get(node.inputs[0])
    return node


def made_by(graph: Graph, slot: Slot) -> Origin:
    """The kind of values that reach a slot."""
    node = source_of(graph, slot)
    if node is None:
        return "other"
    if node.op == "Softmax":
        return "softmax"
    if node.op == "LayerNormalization":
        return "layer norm"
    if node.op == "Gelu":
        return "gelu"
    if node.op == "Mul":
        return _product(graph, node)
    return "other"


def _product(graph: Graph, node: Node) -> Origin:
    """A product with the error function of one factor is GELU, with its sigmoid is SiLU.

    An exported GELU is x / sqrt 2, erf, + 1, times x, times 0.5, the last two in either order.
    """
    producers = graph.producers()
    nodes = [node]
    for _ in range(3):
        found = [producers.get(name) for n in nodes for _, name in data_inputs(graph, n)]
        for before in found:
            if before is not None and before.op == "Sigmoid" and before.inputs[0] in node.inputs:
                return "silu"
            if before is not None and before.op == "Erf":
                return "gelu"
        nodes = [n for n in found if n is not None and n.op in ("Mul", "Add")]
    return "other"
