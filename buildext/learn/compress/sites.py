"""Sites: the operations that quantisation is about, convolutions and matrix products.

They are found in the exported graph by what they are: a `Conv`, a `ConvTranspose`, or a product
(`MatMul`, `Gemm`) is a *layer* where one operand is constant, the weights, and *attention* where
both are computed. Fused attention and einsum come out of the export as products, so nothing hides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from buildext.learn.compress.ir.graph import Graph, Node, Slot

Kind = Literal["convolution", "grouped", "depthwise", "linear", "attention"]
PRODUCTS = ("MatMul", "Gemm", "Einsum")


@dataclass(frozen=True, slots=True)
class Site:
    """One operation whose operands are quantised.

    Attributes:
        name: of the node.
        kind: what it is.
        activations: slots of computed operands.
        weight: slot of the constant operand, or none.
        weight_axis: of the weights' output channels.
        channel_axis: of the activations' channels, where a kind has them in one place.
        output: the tensor that it makes.
        kernel_px: the larger side of a convolution's window; 1 for a product.
        behind: operator that makes the first activation; empty for the image.
    """

    name: str
    kind: Kind
    activations: tuple[Slot, ...]
    weight: Slot | None
    weight_axis: int
    channel_axis: int
    output: str
    kernel_px: int = 1
    behind: str = ""


def find_sites(graph: Graph) -> tuple[Site, ...]:
    """All sites of a simplified graph, in the order of computation."""
    producers = graph.producers()
    found = []
    for node in graph.nodes:
        site = site_of(graph, node)
        if site is not None:
            before = producers.get(node.inputs[site.activations[0][1]])
            found.append(replace(site, behind=before.op if before else ""))
    return tuple(found)


def site_of(graph: Graph, node: Node) -> Site | None:
    """The site that a node is, if it is one, without what it stands behind."""
    if node.op in ("Conv", "ConvTranspose"):
        return _convolution(graph, node)
    if node.op not in PRODUCTS:
        return None
    constant = [k for k, name in enumerate(node.inputs[:2]) if name in graph.constants]
    if len(constant) == 2:
        return None
    if not constant:
        if node.op == "Gemm":
            # It may add a third tensor; no attention is exported so.
            return None
        slots = ((node.name, 0), (node.name, 1))
        return Site(node.name, "attention", slots, None, 0, -1, node.outputs[0])
    weight = constant[0]
    rank = graph.constants[node.inputs[weight]].ndim
    if weight == 0 or rank != 2 or node.op == "Einsum":
        # A constant from the left mixes places, and has no output channels to speak of.
        return None
    axis = 0 if node.op == "Gemm" and node.attributes.get("transB") else 1
    return Site(node.name, "linear", ((node.name, 0),), (node.name, 1), axis, -1, node.outputs[0])


def _convolution(graph: Graph, node: Node) -> Site | None:
    if node.inputs[1] not in graph.constants:
        return None
    weight = graph.constants[node.inputs[1]]
    groups = node.attributes.get("group", 1)
    if node.op == "ConvTranspose" and groups > 1:
        # Its weights have no axis of output channels; none of our decoders has one.
        return None
    per_group = weight.shape[1]
    kind: Kind = "convolution"
    if groups > 1:
        kind = "depthwise" if per_group == 1 and groups == weight.shape[0] else "grouped"
    return Site(
        node.name,
        kind,
        ((node.name, 0),),
        (node.name, 1),
        # A transposed convolution keeps its outputs in the second place, within each group.
        0 if node.op == "Conv" else 1,
        1,
        node.outputs[0],
        max(weight.shape[2:]),
    )
