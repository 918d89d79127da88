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
from buildext.learn.compress.sites import Site
from buildext.learn.compress.workbench import Observation, Workbench


def mean_error(
    bench: Workbench, site: Site, seen: Observation, quantisers: Mapping[int, Quantiser]
) -> torch.Tensor | None:
    """What a quantised site makes too little of, by channel `(C,)`; None for attention."""
    if site.weight is None:
        return None
    total, count = None, 0
    for operands, wanted in zip(seen.operands, seen.outputs, strict=True):
        inputs = [
            quantisers[k].fake(value) if k in quantisers else value
            for k, value in enumerate(operands)
        ]
        short = (wanted - bench.run_site(site, inputs)).movedim(site.channel_axis, -1)
        short = short.reshape(-1, short.shape[-1])
        total = short.double().sum(0) if total is None else total + short.double().sum(0)
        count += len(short)
    assert total is not None
    return (total / count).float().cpu()


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
