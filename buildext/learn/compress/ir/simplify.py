"""A graph without what is known beforehand: constants folded, batch norms inside convolutions.

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

# Larger constants are not worth it: an expanded table costs more memory than its formula.
LARGEST_FOLDED = 4_000_000


def simplify(graph: Graph) -> Graph:
    """A copy of `graph` that computes the same with fewer nodes."""
    graph = graph.copy()
    fold_constants(graph)
    fold_batch_norms(graph)
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


def fold_batch_norms(graph: Graph) -> None:
    """Move, in place, every batch norm into the convolution before it that serves it alone."""
    producers, consumers = graph.producers(), graph.consumers()
    outputs = {value.name for value in graph.outputs}
    for node in list(graph.nodes):
        if node.op != "BatchNormalization":
            continue
        before = producers.get(node.inputs[0])
        if before is None or before.op not in ("Conv", "ConvTranspose"):
            continue
        lonely = len(consumers[node.inputs[0]]) == 1 and node.inputs[0] not in outputs
        if not lonely or before.inputs[1] not in graph.constants:
            continue
        _fold(graph, before, node)
        before.outputs[0] = node.outputs[0]
        producers[node.outputs[0]] = before
        graph.nodes.remove(node)


def _fold(graph: Graph, conv: Node, norm: Node) -> None:
    """Change the constants of `conv` so that it does what `norm` did."""
    gamma, beta, mean, variance = (
        graph.constants[name].astype(np.float64) for name in norm.inputs[1:5]
    )
    factor = gamma / np.sqrt(variance + norm.attributes.get("epsilon", 1e-5))
    weight = graph.constants[conv.inputs[1]].astype(np.float64)
    bias = (
        graph.constants[conv.inputs[2]].astype(np.float64)
        if len(conv.inputs) > 2
        else np.zeros(len(factor))
    )
    weight_name, bias_name = graph.fresh(f"{conv.name}.weight"), graph.fresh(f"{conv.name}.bias")
    scaled = _scaled(weight, factor, conv)
    graph.constants[weight_name] = scaled.astype(np.float32)
    graph.constants[bias_name] = ((bias - mean) * factor + beta).astype(np.float32)
    conv.inputs = [conv.inputs[0], weight_name, bias_name]


def _scaled(
    weight: NDArray[np.float64], factor: NDArray[np.float64], conv: Node
) -> NDArray[np.float64]:
    """Weights with each output channel multiplied by its factor."""
    if conv.op == "Conv":
        return weight * factor[:, None, None, None]
    # Transposed: (in, out / groups, kh, kw), the groups one after another along `in`.
    groups = conv.attributes.get("group", 1)
    apart = weight.reshape(groups, -1, *weight.shape[1:])
    by_group = factor.reshape(groups, 1, -1, 1, 1)
    return np.asarray((apart * by_group).reshape(weight.shape))
