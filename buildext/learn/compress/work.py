"""What each site costs: multiply-accumulate operations, counted at one size of image."""

from __future__ import annotations

import torch

from buildext.learn.compress.ir.graph import Graph
from buildext.learn.compress.ir.interpreter import TorchGraph
from buildext.learn.compress.sites import find_sites


def site_macs(graph: Graph, tile_px: int) -> dict[str, int]:
    """Multiply-accumulates of each site of a graph, for one square tile."""
    sites = find_sites(graph)
    nodes = graph.by_name()
    keep = {nodes[s.name].inputs[0] for s in sites} | {s.output for s in sites}
    keep -= set(graph.constants)
    with torch.no_grad():
        values = TorchGraph(graph).run(
            torch.zeros(1, 3, tile_px, tile_px, dtype=torch.uint8), None, keep
        )
    found = {}
    for site in sites:
        node = nodes[site.name]
        if node.op == "Conv":
            each = graph.constants[node.inputs[1]][0].size
            found[site.name] = values[site.output].numel() * each
        elif node.op == "ConvTranspose":
            each = graph.constants[node.inputs[1]][0].size
            found[site.name] = values[node.inputs[0]].numel() * each
        else:
            each = values[node.inputs[0]].shape[-1]
            found[site.name] = values[site.output].numel() * each
    return found
