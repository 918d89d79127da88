"""Bridges: where the convolutional part of a hybrid network meets the transformer.

Q-HyViT (arXiv 2303.12557) finds that hybrid transformers lose most where a local representation,
made by convolutions, is handed to attention and taken back. It names these blocks by hand; here
they are read from the graph:

- *attention* is a product of two computed tensors, or a softmax over places (an axis that grows
  with the image; a softmax over branches or channels, as in SK-ResNet, is none);
- from there the way leads back, against the data, through everything pointwise to the first
  convolution that looks at neighbours: the *entry*; and forward in the same way: the *exit*;
- attention that is reached without such a convolution in between belongs to the same *block*, as
  the layers of one transformer do.

Sites between two layers of attention, and those that lie behind the nearest convolution on one way
though another way avoids it, belong to neither side.

Where tensors join, a shortcut (an operand from which another operand of the same join was computed)
is not followed: it leads past the block and not into it. Where they part, the way forward goes with
the first to use the tensor; the others are shortcuts and the decoder's skip connections.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from buildext.learn.compress.ir.graph import Graph, Node
from buildext.learn.compress.ir.interpreter import TorchGraph
from buildext.learn.compress.sites import Site, find_sites

JOINS = ("Add", "Concat")
# Two sizes of image, as multiples of the stride: what differs between them depends on the image.
PROBED = (2, 3)


@dataclass(frozen=True, slots=True)
class Bridge:
    """One block of attention and the sites by which convolutions reach it.

    Attributes:
        entry: names of sites from the last convolution over neighbours to the attention.
        attention: names of the nodes that attend.
        exit: names of sites from the attention to the next convolution over neighbours.
    """

    entry: tuple[str, ...]
    attention: tuple[str, ...]
    exit: tuple[str, ...]

    @property
    def sites(self) -> frozenset[str]:
        """All sites on either side."""
        return frozenset(self.entry + self.exit)


def find_bridges(graph: Graph, stride_divisor: int) -> tuple[Bridge, ...]:
    """The bridges of a simplified graph, in the order of computation.

    Args:
        graph: a whole network.
        stride_divisor: what the sides of images must be multiples of, in pixels.
    """
    sites = {site.name: site for site in find_sites(graph)}
    cores = [node for node in graph.nodes if _is_product(sites.get(node.name))]
    cores += _softmaxes_over_places(graph, stride_divisor)
    order = {node.name: index for index, node in enumerate(graph.nodes)}
    walk = _Walk(graph, sites, {node.name for node in cores})
    groups: list[tuple[set[str], set[str], set[str]]] = []
    direct: set[str] = set()
    for core in sorted(cores, key=lambda node: order[node.name]):
        entry, before, nearest = walk.back(core)
        out, after = walk.forward(core)
        direct |= nearest
        group = ({core.name, *before, *after}, entry, out)
        touching = [other for other in groups if other[0] & group[0]]
        for other in touching:
            groups.remove(other)
            group = (group[0] | other[0], group[1] | other[1], group[2] | other[2])
        groups.append(group)

    def tidy(names: set[str]) -> tuple[str, ...]:
        return tuple(sorted(names, key=order.__getitem__))

    found = []
    for attention, entry, out in groups:
        inside = {n for n in entry | out if walk.lies_between(n, attention)}
        near = {n for n in entry if sites[n].kernel_px > 1}
        beyond = {n for n in entry - direct if any(walk.leads_to(n, end) for end in near - {n})}
        found.append(Bridge(tidy(entry - inside - beyond), tidy(attention), tidy(out - inside)))
    return tuple(sorted(found, key=lambda bridge: order[bridge.attention[0]]))


def _is_product(site: Site | None) -> bool:
    return site is not None and site.kind == "attention"


def _softmaxes_over_places(graph: Graph, stride_divisor: int) -> list[Node]:
    """Softmaxes along an axis whose length depends on the size of the image."""
    found = [node for node in graph.nodes if node.op == "Softmax"]
    if not found:
        return []
    runner = TorchGraph(graph)
    lengths = []
    for multiple in PROBED:
        side = multiple * stride_divisor
        image = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        with torch.no_grad():
            values = runner.run(image, keep=[node.outputs[0] for node in found])
        lengths.append(
            [values[node.outputs[0]].shape[node.attributes.get("axis", -1)] for node in found]
        )
    return [node for node, one, two in zip(found, *lengths, strict=True) if one != two]


class _Walk:
    """Ways along the data of a graph, sizes left aside."""

    def __init__(self, graph: Graph, sites: dict[str, Site], cores: set[str]) -> None:
        self._sites, self._cores = sites, cores
        self._producers, self._consumers = graph.producers(), graph.consumers()
        # Bit i of a node's number: whether it was computed from node i, by data.
        self._index = {node.name: index for index, node in enumerate(graph.nodes)}
        self._from: dict[str, int] = {graph.input_name: 0}
        self._origins: dict[str, int] = {}
        for index, node in enumerate(graph.nodes):
            if node.op in ("Shape", "Size"):
                continue
            data = [self._from[name] for name in node.inputs if name in self._from]
            if data:
                origin = 1 << index
                for bits in data:
                    origin |= bits
                self._from.update(dict.fromkeys(node.outputs, origin))
                self._origins[node.name] = origin

    def leads_to(self, one: str, other: str) -> bool:
        """Whether node `other` is computed from node `one`, and is not the same."""
        return one != other and bool(self._origins[other] >> self._index[one] & 1)

    def lies_between(self, name: str, cores: set[str]) -> bool:
        """Whether a node is computed from one of `cores`, and another one from it."""
        return any(self.leads_to(core, name) for core in cores) and any(
            self.leads_to(name, core) for core in cores
        )

    def back(self, core: Node) -> tuple[set[str], set[str], set[str]]:
        """Sites passed from the operands of `core` back, attention met, and the sites next to it.

        The nearest of several ways is not known beforehand; what lies beyond the nearest
        convolution is taken out by `find_bridges`.
        """
        passed: set[str] = set()
        direct: set[str] = set()
        met: set[str] = set()
        seen: set[str] = set()
        ways = [(name, True) for name in self._operands(core)]
        while ways:
            name, next_to = ways.pop()
            node = self._producers.get(name)
            if node is None or node.name in seen:
                continue
            seen.add(node.name)
            if node.name in self._cores:
                met.add(node.name)
                continue
            if next_to and node.name in self._sites:
                direct.add(node.name)
                next_to = False
            if not self._ends(node, passed):
                ways += [(operand, next_to) for operand in self._operands(node)]
        return passed, met, direct

    def forward(self, core: Node) -> tuple[set[str], set[str]]:
        """Sites passed from the result of `core` on, and the attention met."""
        passed: set[str] = set()
        met: set[str] = set()
        ways = list(core.outputs)
        while ways:
            node = self._first_use(ways.pop())
            if node is None:
                continue
            if node.name in self._cores:
                met.add(node.name)
            elif not self._ends(node, passed):
                ways += node.outputs
        return passed, met

    def _ends(self, node: Node, passed: set[str]) -> bool:
        """Note a site; whether the way ends at it."""
        site = self._sites.get(node.name)
        if site is None:
            return False
        passed.add(node.name)
        return site.kernel_px > 1

    def _operands(self, node: Node) -> list[str]:
        """Data that a node is computed from, without shortcuts."""
        data = [name for name in node.inputs if name in self._from]
        return [name for name in data if not self._is_shortcut(name, node)]

    def _is_shortcut(self, name: str, node: Node) -> bool:
        """Whether `node` joins the tensor with one that was computed from it."""
        producer = self._producers.get(name)
        if node.op not in JOINS or producer is None:
            return False
        bit = 1 << self._index[producer.name]
        others = [self._from[other] for other in node.inputs if other in self._from]
        return any(bits & bit for bits in others if bits != self._from[name])

    def _first_use(self, name: str) -> Node | None:
        """The first node that takes the tensor as data and not as a shortcut."""
        uses = self._consumers.get(name, [])
        return next(
            (
                node
                for node in uses
                if node.op not in ("Shape", "Size") and not self._is_shortcut(name, node)
            ),
            None,
        )
