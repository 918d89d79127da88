"""The workbench of a method: a network taken apart, and tiles to see what it does to them.

A method asks what a site saw and made on the calibration tiles, all of it (`observe`) or as much as
a search needs (`sample`), and, where it weighs errors, how much the result depends on what the site
makes.

That weight is the diagonal of the Fisher information. A change d of a site's output changes the
distribution of the predicted map by about d' F d / 2 (in Kullback-Leibler divergence), where F is
the expected outer product of the gradient of the log-likelihood, *labels being drawn from the
network's own prediction*. Its diagonal is what is used: E[(dL/dz)^2], L the segmentation loss
(binary cross-entropy, summed over pixels and channels), one draw a tile. Q-HyViT's metric is this
form, with the gradient of the divergence between quantised and float output in place of the drawn
loss's; that one vanishes as long as nothing is quantised, and is contained here once bridges are:
labels are drawn from the float network, gradients are taken at the partly quantised one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from buildext.learn.compress.bridge import Bridge, find_bridges
from buildext.learn.compress.ir.graph import Graph, Slot
from buildext.learn.compress.ir.interpreter import TorchGraph
from buildext.learn.compress.plan import patch_of
from buildext.learn.compress.quantiser import Quantiser
from buildext.learn.compress.sample import NUMBERS, Sample, Sampler
from buildext.learn.compress.sites import Site, find_sites
from buildext.learn.compress.target import Target
from buildext.progress import Progress, SilentProgress

# What one pass over the tiles may keep, in numbers of four bytes.
MEMORY_NUMBERS = 400_000_000
BATCH = 4


@dataclass(frozen=True, slots=True)
class Observation:
    """What a site did on the calibration tiles, batch by batch.

    Attributes:
        operands: of each batch, the inputs of the node as floats; weights are among them.
        outputs: of each batch.
    """

    operands: list[list[Any]]
    outputs: list[torch.Tensor]


class Workbench:
    """A simplified graph, its sites and bridges, and calibration tiles.

    Args:
        graph: simplified.
        tiles: uint8 `(N, C, H, W)`.
        bits: of weights and activations.
        target: what quantisers may be chosen from.
        stride_divisor: of the network, in pixels.
        device: where to compute.
        seed: of the drawn labels.
        progress: told each site.
    """

    def __init__(
        self,
        graph: Graph,
        tiles: NDArray[np.uint8],
        bits: int,
        target: Target,
        *,
        stride_divisor: int = 32,
        device: str = "cpu",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.graph, self.bits, self.target = graph, bits, target
        self.progress = progress or SilentProgress()
        self.device = torch.device(device)
        self.sites: tuple[Site, ...] = find_sites(graph)
        self.nodes = graph.by_name()
        self.runner = TorchGraph(graph, device)
        self.stride_divisor = stride_divisor
        self._seed = seed
        self._batches = [
            torch.from_numpy(tiles[k : k + BATCH]) for k in range(0, len(tiles), BATCH)
        ]
        self._tiles = len(tiles)
        self._labels: list[torch.Tensor] = []
        self._plain: torch.Tensor | None = None
        self._bridges: tuple[Bridge, ...] | None = None

    @property
    def tile_px(self) -> int:
        """Side of the calibration tiles."""
        return int(self._batches[0].shape[-1])

    @property
    def bridges(self) -> tuple[Bridge, ...]:
        """Where convolutions meet the transformer."""
        if self._bridges is None:
            self._bridges = find_bridges(self.graph, self.stride_divisor)
        return self._bridges

    def weight(self, site: Site) -> torch.Tensor:
        """The weights of a site that has some."""
        assert site.weight is not None
        return self.runner.constants[self.nodes[site.name].inputs[1]]

    def segments(
        self, ends: Collection[str] = (), *, sampled: bool = False
    ) -> Iterator[tuple[Site, ...]]:
        """Sites in order, in groups that one pass can observe within the memory.

        Args:
            ends: names of sites after which a group must end.
            sampled: whether they are for `sample`, which keeps less.
        """
        sizes = self._sizes(sampled)
        group: list[Site] = []
        total = 0
        for site in self.sites:
            if group and total + sizes[site.name] > MEMORY_NUMBERS:
                yield tuple(group)
                group, total = [], 0
            group.append(site)
            total += sizes[site.name]
            if site.name in ends:
                yield tuple(group)
                group, total = [], 0
        if group:
            yield tuple(group)

    def observe(
        self, sites: Sequence[Site], quantisers: Mapping[Slot, Quantiser] | None = None
    ) -> dict[str, Observation]:
        """See all that sites do on all tiles.

        Args:
            sites: which.
            quantisers: what is quantised meanwhile.
        """
        found = {site.name: Observation([], []) for site in sites}
        for _, values, _ in self._passes(sites, quantisers, fisher=False):
            for site in sites:
                inputs = self.nodes[site.name].inputs
                found[site.name].operands.append([self._operand(values, name) for name in inputs])
                found[site.name].outputs.append(values[site.output])
        return found

    def sample(
        self,
        sites: Sequence[Site],
        quantisers: Mapping[Slot, Quantiser] | None = None,
        *,
        fisher: bool = False,
    ) -> dict[str, Sample]:
        """See what sites do at some places of the tiles.

        Args:
            sites: which.
            quantisers: what is quantised meanwhile.
            fisher: whether to take gradients, too.
        """
        samplers = {
            site.name: Sampler(
                site, self.nodes[site.name], self.runner.constants, self._tiles, self._seed
            )
            for site in sites
        }
        for tiles, values, grads in self._passes(sites, quantisers, fisher=fisher):
            for index, site in enumerate(sites):
                inputs = self.nodes[site.name].inputs[:2]
                samplers[site.name].add(
                    [self._operand(values, name) for name in inputs],
                    values[site.output].detach(),
                    grads[index] if fisher else None,
                    tiles,
                )
        return {name: sampler.sample() for name, sampler in samplers.items()}

    @torch.no_grad()
    def divergence(self, quantisers: Mapping[Slot, Quantiser]) -> float:
        """How far the output is from the float network's, on the first few tiles.

        The mean Kullback-Leibler divergence of a pixel's probability, in nats.
        """
        images, name = self._batches[0], self.graph.output_name
        if self._plain is None:
            self._plain = self.runner.run(images)[name]
        before = self._plain
        after = self.runner.run(images, patch_of(self.runner, quantisers))[name]
        return float(F.binary_cross_entropy(after, before) - F.binary_cross_entropy(before, before))

    def predictions(self) -> Iterator[torch.Tensor]:
        """What the float network makes of each batch of tiles."""
        for images in self._batches:
            with torch.no_grad():
                yield self.runner.run(images)[self.graph.output_name]

    def _passes(
        self,
        sites: Sequence[Site],
        quantisers: Mapping[Slot, Quantiser] | None,
        *,
        fisher: bool,
    ) -> Iterator[tuple[int, dict[str, torch.Tensor], list[torch.Tensor]]]:
        """Of each batch: its number of tiles, what sites see and make, and squared gradients."""
        patch = patch_of(self.runner, quantisers or {})
        computed = {
            name
            for site in sites
            for name in (site.output, *self.nodes[site.name].inputs)
            if name and name not in self.runner.constants
        }
        if fisher and not self._labels:
            self._draw_labels()
        for number, images in enumerate(self._batches):
            with torch.set_grad_enabled(fisher):
                values = self._run(images, patch, computed, fisher)
            grads = self._gradients(values, sites, number) if fisher else []
            yield len(images), values, grads

    def _run(self, images: torch.Tensor, patch: Any, keep: set[str], moving: bool) -> Any:
        if moving:
            # A gradient needs something to begin with: the image itself, as if it could move.
            users = self.graph.consumers()[self.graph.input_name]
            (cast,) = (node for node in users if node.op == "Cast")
            patch = {**patch, (cast.name, 0): lambda x: x.float().requires_grad_()}
        return self.runner.run(images, patch, keep)

    def _operand(self, values: Mapping[str, torch.Tensor], name: str) -> Any:
        if not name:
            return None
        if name in self.runner.constants:
            return self.runner.constants[name]
        return values[name].detach()

    def _gradients(
        self, values: Mapping[str, torch.Tensor], sites: Sequence[Site], number: int
    ) -> list[torch.Tensor]:
        """Squared gradients of the loss at the outputs of sites."""
        loss = F.binary_cross_entropy(
            values[self.graph.output_name], self._labels[number], reduction="sum"
        )
        grads = torch.autograd.grad(
            loss, [values[site.output] for site in sites], allow_unused=True
        )
        return [
            torch.zeros_like(values[site.output]) if grad is None else grad.square()
            for site, grad in zip(sites, grads, strict=True)
        ]

    def _draw_labels(self) -> None:
        generator = torch.Generator().manual_seed(self._seed)
        for probability in self.predictions():
            drawn = torch.rand(probability.shape, generator=generator)
            self._labels.append((drawn < probability.cpu()).float().to(self.device))

    def _sizes(self, sampled: bool) -> dict[str, int]:
        """Numbers that a group keeps for each site while it is observed, gradients included."""
        names = {
            name
            for site in self.sites
            for name in (site.output, *self.nodes[site.name].inputs)
            if name and name not in self.runner.constants
        }
        with torch.no_grad():
            values = self.runner.run(self._batches[0][:1], keep=names)
        sizes = {}
        for site in self.sites:
            seen = sum(values[n].numel() for n in self.nodes[site.name].inputs if n in values)
            made = values[site.output].numel()
            sizes[site.name] = (seen + made) * self._tiles
            if sampled:
                whole = (seen * site.kernel_px**2 + 2 * made) * self._tiles
                sizes[site.name] = (seen + 2 * made) * BATCH + min(whole, 2 * NUMBERS)
        return sizes
