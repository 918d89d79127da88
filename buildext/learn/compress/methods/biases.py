"""Bias correction: what quantisation shifts on average is given back.

Rounding errors of weights do not cancel: each output channel moves by a mean error that can be
measured on the calibration tiles and subtracted from the bias (Nagel et al., ICCV 2019, section
4.2; Q-HyViT does so once, at the end).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from buildext.learn.compress.ir.graph import Graph
from buildext.learn.compress.quantiser import Quantiser
from buildext.learn.compress.sample import Sample


def mean_error(sample: Sample, quantisers: Mapping[int, Quantiser]) -> torch.Tensor | None:
    """What a quantised site makes too little of, by channel `(C,)`; None for attention."""
    if sample.site.weight is None:
        return None
    first, second = (sample.operand(k, quantisers.get(k)) for k in (0, 1))
    short = sample.wanted - sample.make(first, second)
    share = (sample.stands_for / sample.stands_for.sum())[:, None]
    return (short * share).sum(1, dtype=torch.float64).flatten().float().cpu()


def add_to_biases(graph: Graph, corrections: Mapping[str, torch.Tensor]) -> Graph:
    """A copy of the graph with corrections, by site, added to the biases.

    A product whose bias is no addition of its own stays as it is.
    """
    graph = graph.copy()
    consumers = graph.consumers()
    for node in graph.nodes:
        if node.name not in corrections:
            continue
        change = corrections[node.name].numpy()
        if node.op in ("Conv", "ConvTranspose", "Gemm"):
            old = graph.constants[node.inputs[2]] if len(node.inputs) > 2 else 0.0
            name = graph.fresh(f"{node.name}.bias")
            node.inputs = [*node.inputs[:2], name]
            graph.constants[name] = np.asarray(old + change, np.float32)
            continue
        users = consumers.get(node.outputs[0], [])
        if len(users) != 1 or users[0].op != "Add":
            continue
        for position, used in enumerate(users[0].inputs):
            bias = graph.constants.get(used)
            if bias is not None and bias.shape[-1:] in (change.shape, (1,)):
                name = graph.fresh(f"{node.name}.bias")
                users[0].inputs[position] = name
                graph.constants[name] = np.asarray(bias + change, np.float32)
    return graph
