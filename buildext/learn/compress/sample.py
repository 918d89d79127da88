"""Samples: a site in small.

The error of a site is a sum over its outputs. Large maps have millions of them, a search asks for
the sum some two hundred times, and a few thousand places tell it as well. So while the network
runs over the calibration tiles, places are drawn at each site, and of each is kept what its outputs
are made of; the rest is forgotten. Then every kind of site is one product of matrices,

    made (G, N, C) = first (G, N, K) @ second (G, K, C) + bias

with G groups of channels (for attention: tiles and heads), N places, and K numbers that an output
is made of, and nothing but this product is computed for a candidate.

Places of layers are drawn with replacement: half evenly, half in proportion to the Fisher weight
that they carry, and each is weighed by how many places it stands for, so that the expected sum is
that over all outputs (importance sampling with a defensive part: Hesterberg, Technometrics 37,
1995). The Fisher weight of a map of buildings lies on few places; an even draw alone would miss
most of it. Where a map has no more places than would be drawn, all are taken, and the sum is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch

from buildext.learn.compress.interval import Interval, interval_of, together
from buildext.learn.compress.ir.graph import Node
from buildext.learn.compress.matrices import as_matrices
from buildext.learn.compress.patches import as_product, by_group, cut_patches
from buildext.learn.compress.quantiser import Quantiser, Uniform
from buildext.learn.compress.sites import Site

# Places of a layer, over all tiles; fewer, but not below the least, where together they are made
# of more numbers than these.
MOST_PLACES, LEAST_PLACES = 4096, 1024
NUMBERS = 4_000_000
# Of attention: matrices (a tile's, of one head and window) for each tile, and rows of each.
MATRICES, ROWS = 4, 32


@dataclass(frozen=True, slots=True)
class Sample:
    """What is kept of a site.

    Attributes:
        site: which.
        node: its operation.
        first: of the computed operand, `(G, N, K)`.
        second: weights as they stand in the graph, or of attention `(G, K, C)`.
        bias: `(G, 1, C)`.
        wanted: the outputs, `(G, N, C)`.
        stands_for: how many places each stands for, `(N,)`.
        fisher: weights of squared errors, what a place stands for included; `(G, N, C)`.
        ranges: of computed operands, by position and whether channel by channel; over all places
            of all tiles.
    """

    site: Site
    node: Node
    first: torch.Tensor
    second: torch.Tensor
    bias: torch.Tensor | None
    wanted: torch.Tensor
    stands_for: torch.Tensor
    fisher: torch.Tensor | None
    ranges: Mapping[tuple[int, bool], Interval]

    def operand(
        self, position: int, quantiser: Quantiser | None = None, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """A factor of the product, quantised or as it is.

        Args:
            position: 0 or 1.
            quantiser: as the graph's tensor has it.
            out: of the shape of `first`, where it is made if it can be.
        """
        if position == 0:
            if quantiser is None:
                return self.first
            if isinstance(quantiser, Uniform):
                # Channels that have scales of their own are groups here.
                axis = None if quantiser.axis is None else 0
                return replace(quantiser, axis=axis).into(self.first, out)
            return quantiser.fake(self.first)
        second = self.second if quantiser is None else quantiser.fake(self.second)
        if self.site.kind == "attention":
            return second
        if self.site.kind == "linear":
            return _linear_weight(second, self.node)[None]
        return as_product(second, self.node)

    def make(
        self, first: torch.Tensor, second: torch.Tensor, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The outputs `(G, N, C)` of two factors."""
        if self.bias is None:
            return torch.bmm(first, second, out=out)
        return torch.baddbmm(self.bias, first, second, out=out)


def _linear_weight(weight: torch.Tensor, node: Node) -> torch.Tensor:
    if node.op != "Gemm":
        return weight
    alpha: float = node.attributes.get("alpha", 1.0)
    return alpha * (weight.T if node.attributes.get("transB") else weight)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is kept of one batch of tiles."""

    first: torch.Tensor
    second: torch.Tensor
    wanted: torch.Tensor
    stands_for: torch.Tensor
    fisher: torch.Tensor | None
    ranges: Mapping[tuple[int, bool], Interval]


class Sampler:
    """Draws the sample of a site, batch by batch.

    Args:
        site: which.
        node: its operation.
        constants: of the graph.
        tiles: number of tiles in all.
        seed: of the draws.
    """

    def __init__(
        self, site: Site, node: Node, constants: Mapping[str, torch.Tensor], tiles: int, seed: int
    ) -> None:
        self._site, self._node, self._constants, self._tiles = site, node, constants, tiles
        self._generator = torch.Generator().manual_seed(seed)
        self._parts: list[_Part] = []

    def add(
        self,
        operands: Sequence[torch.Tensor],
        made: torch.Tensor,
        fisher: torch.Tensor | None,
        tiles: int,
    ) -> None:
        """Keep a part of what the site did on a batch.

        Args:
            operands: both, as the node has them.
            made: its output.
            fisher: squared gradients at the output.
            tiles: of the batch.
        """
        take = self._products if self._site.kind == "attention" else self._layer
        self._parts.append(take(operands[0], operands[1], made, fisher, tiles))

    def sample(self) -> Sample:
        """All batches together."""
        parts, attends = self._parts, self._site.kind == "attention"
        # Products of attention have both factors of their own; layers share the second.
        axis = 0 if attends else 1
        first = torch.cat([part.first for part in parts], axis)
        fishers = [part.fisher for part in parts if part.fisher is not None]
        return Sample(
            self._site,
            self._node,
            first,
            torch.cat([part.second for part in parts]) if attends else parts[0].second,
            None if attends else self._bias(len(first)),
            torch.cat([part.wanted for part in parts], axis),
            torch.cat([part.stands_for for part in parts]),
            torch.cat(fishers, axis) if fishers else None,
            {key: together([part.ranges[key] for part in parts]) for key in parts[0].ranges},
        )

    def _bias(self, groups: int) -> torch.Tensor | None:
        if len(self._node.inputs) < 3:
            return None
        factor: float = self._node.attributes.get("beta", 1.0)
        return factor * self._constants[self._node.inputs[2]].reshape(groups, 1, -1)

    def _layer(
        self,
        values: torch.Tensor,
        weight: torch.Tensor,
        made: torch.Tensor,
        fisher: torch.Tensor | None,
        tiles: int,
    ) -> _Part:
        axis, node = self._site.channel_axis, self._node
        groups = node.attributes.get("group", 1)
        shape = made.movedim(axis, -1).shape[:-1]
        window = list(weight.shape[2:])
        numbers = values.shape[axis] * prod(window)
        wanted = min(max(NUMBERS // numbers, LEAST_PLACES), MOST_PLACES)
        places, stands_for = draw_places(
            shape.numel(),
            None if fisher is None else fisher.sum(axis).flatten(),
            -(-wanted * tiles // self._tiles),
            self._generator,
        )
        places, stands_for = places.to(made.device), stands_for.to(made.device)
        there = torch.unravel_index(places, shape)

        def drawn(outputs: torch.Tensor) -> torch.Tensor:
            apart = outputs.movedim(axis, -1)[there].reshape(len(places), groups, -1)
            return apart.transpose(0, 1).contiguous()

        if window:
            first = by_group(cut_patches(values, node, window, list(shape[1:]), places), groups)
        else:
            first = values.reshape(-1, values.shape[-1])[places][None]
        ranges = {(0, False): interval_of([values])}
        if self._site.kind == "depthwise":
            ranges[0, True] = interval_of([values], axis)
        weights = None if fisher is None else drawn(fisher) * stands_for[:, None]
        return _Part(first, weight, drawn(made), stands_for, weights, ranges)

    def _products(
        self,
        first: torch.Tensor,
        second: torch.Tensor,
        made: torch.Tensor,
        fisher: torch.Tensor | None,
        tiles: int,
    ) -> _Part:
        ranges = {(0, False): interval_of([first]), (1, False): interval_of([second])}
        left, right, wanted = as_matrices(self._node, first, second, made)
        which = self._some(len(left), MATRICES * tiles).to(made.device)
        rows = self._some(left.shape[1], ROWS).to(made.device)
        each = len(left) * left.shape[1] / (len(which) * len(rows))
        weights = None
        if fisher is not None:
            weights = as_matrices(self._node, first, second, fisher)[2][which][:, rows] * each
        return _Part(
            left[which][:, rows],
            right[which],
            wanted[which][:, rows],
            torch.full((len(rows),), each, device=made.device),
            weights,
            ranges,
        )

    def _some(self, number: int, wanted: int) -> torch.Tensor:
        """Some numbers below `number`, each at most once, in order."""
        return torch.randperm(number, generator=self._generator)[:wanted].sort().values


def draw_places(
    number: int, mass: torch.Tensor | None, wanted: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw places, half of them in proportion to a mass.

    The draw is stratified: the places stand in a row, each as wide as it is likely, and one point
    falls into each of `wanted` equal stretches of the row.

    Args:
        number: of all places.
        mass: of each, `(number,)`, not negative; None draws evenly.
        wanted: how many; all are taken once where there are no more.
        generator: of the draw.

    Returns:
        The places, and how many each stands for, float32: one over how often it is expected.
    """
    if wanted >= number:
        return torch.arange(number), torch.ones(number)
    share = torch.full((number,), 1 / number, dtype=torch.float64)
    if mass is not None and float(mass.sum()) > 0:
        share = (share + mass.double().cpu() / mass.double().sum().cpu()) / 2
    points = (torch.arange(wanted) + torch.rand(wanted, generator=generator)) / wanted
    row = share.cumsum(0)
    places = torch.searchsorted(row, points.double() * row[-1]).clamp(max=number - 1)
    return places, (1 / (wanted * share[places])).float()
