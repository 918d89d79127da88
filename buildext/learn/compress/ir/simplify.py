"""A graph without what is known beforehand: constants folded, scalings inside convolutions.

At inference a batch norm multiplies and shifts each channel by fixed numbers, which the convolution
before it can do itself (Jacob et al., CVPR 2018, section 3.2): w' = w * g / s, b' = (b - m) * g / s
+ beta, with s = sqrt(v + eps). Only then does a quantised convolution have one set of weights.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.learn.compress.ir.graph import Graph, Node
from buildext.learn.compress.ir.operators import complete, compute

Doubles = NDArray[np.float64]
# Larger constants are not worth it: an expanded table costs more memory than its formula.
LARGEST_FOLDED = 4_000_000


def simplify(graph: Graph) -> Graph:
    """A copy of `graph` that computes the same with fewer nodes."""
    graph = graph.copy()
    fold_constants(graph)
    fold_scalings(graph)
    graph.drop_unused()
    return graph


def fold_constants(graph: Graph) -> None:
    """Compute, in place, what depends on constants alone."""
    kept = []
    for node in graph.nodes:
        inputs = [graph.constants.get(name) if name else None for name in node.inputs]
        known = all(
            value is not None or not name for name, value in zip(node.inputs, inputs, strict=True)
        )
        if not known or node.op in ("QuantizeLinear", "DequantizeLinear"):
            kept.append(node)
            continue
        tensors = [None if v is None else torch.from_numpy(np.array(v)) for v in inputs]
        made = compute(node.op, tensors, complete(node))
        if sum(value.numel() for value in made) > LARGEST_FOLDED:
            kept.append(node)
            continue
        for name, value in zip(node.outputs, made[: len(node.outputs)], strict=True):
            graph.constants[name] = np.array(value.numpy(), order="C")
    graph.nodes = kept


def fold_scalings(graph: Graph) -> None:
    """Move, in place, what scales channels into the convolution before it that serves it alone.

    That is a batch norm, or a product with a constant for each channel (layer scale). Left behind
    an int8 convolution, the latter would be moved into its weights by OpenVINO, which then have no
    int8 kernel any more.
    """
    producers, consumers = graph.producers(), graph.consumers()
    outputs = {value.name for value in graph.outputs}
    for node in list(graph.nodes):
        given = next((name for name in node.inputs if name in producers), "")
        before = producers.get(given)
        if before is None or before.op not in ("Conv", "ConvTranspose"):
            continue
        lonely = len(consumers[given]) == 1 and given not in outputs
        if not lonely or before.inputs[1] not in graph.constants:
            continue
        scaling = _scaling(graph, node, _channels(graph, before))
        if scaling is None:
            continue
        _fold(graph, before, *scaling)
        before.outputs[0] = node.outputs[0]
        producers[node.outputs[0]] = before
        graph.nodes.remove(node)


def _channels(graph: Graph, conv: Node) -> int:
    """How many channels a convolution makes."""
    shape = graph.constants[conv.inputs[1]].shape
    channels: int = shape[0]
    if conv.op == "ConvTranspose":
        channels = shape[1] * conv.attributes.get("group", 1)
    return channels


def _scaling(graph: Graph, node: Node, channels: int) -> tuple[Doubles, Doubles] | None:
    """Factor and shift of each channel, `(C,)`, if that is what a node does to a map."""
    if node.op == "BatchNormalization":
        gamma, beta, mean, variance = (
            graph.constants[name].astype(np.float64) for name in node.inputs[1:5]
        )
        factor = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        return factor, beta - mean * factor
    constants = [graph.constants[name] for name in node.inputs if name in graph.constants]
    if node.op != "Mul" or len(constants) != 1:
        return None
    factor = constants[0].astype(np.float64)
    if factor.size != 1 and (factor.ndim < 3 or factor.shape[-3:] != (channels, 1, 1)):
        return None
    return np.broadcast_to(factor.ravel(), (channels,)), np.zeros(channels)


def _fold(graph: Graph, conv: Node, factor: Doubles, shift: Doubles) -> None:
    """Change the constants of `conv` so that each channel is scaled and shifted."""
    weight = graph.constants[conv.inputs[1]].astype(np.float64)
    bias = (
        graph.constants[conv.inputs[2]].astype(np.float64)
        if len(conv.inputs) > 2
        else np.zeros(len(factor))
    )
    weight_name, bias_name = graph.fresh(f"{conv.name}.weight"), graph.fresh(f"{conv.name}.bias")
    scaled = _scaled(weight, factor, conv)
    graph.constants[weight_name] = scaled.astype(np.float32)
    graph.constants[bias_name] = (bias * factor + shift).astype(np.float32)
    conv.inputs = [conv.inputs[0], weight_name, bias_name]


def _scaled(weight: Doubles, factor: Doubles, conv: Node) -> Doubles:
    """Weights with each output channel multiplied by its factor."""
    if conv.op == "Conv":
        return weight * factor[:, None, None, None]
    # Transposed: (in, out / groups, kh, kw), the groups one after another along `in`.
    groups = conv.attributes.get("group", 1)
    apart = weight.reshape(groups, -1, *weight.shape[1:])
    by_group = factor.reshape(groups, 1, -1, 1, 1)
    return np.asarray((apart * by_group).reshape(weight.shape))
