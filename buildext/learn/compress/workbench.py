"""The workbench of a method: a network taken apart, and tiles to see what it does to them.

A method asks what a site saw and made on the calibration tiles (`observe`), and, where it weighs
errors, how much the result depends on what the site makes.

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
from buildext.learn.compress.ir.operators import complete, compute
from buildext.learn.compress.plan import patch_of
from buildext.learn.compress.quantiser import Quantiser
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
        fisher: squared gradients at the outputs, of each batch; empty where not asked for.
    """

    operands: list[list[Any]]
    outputs: list[torch.Tensor]
    fisher: list[torch.Tensor]


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
        self._labels: list[torch.Tensor] = []
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

    def run_site(self, site: Site, operands: Sequence[Any]) -> torch.Tensor:
        """What the site makes of other operands."""
        node = self.nodes[site.name]
        made: torch.Tensor = compute(node.op, operands, complete(node))[0]
        return made

    def segments(self, ends: Collection[str] = ()) -> Iterator[tuple[Site, ...]]:
        """Sites in order, in groups that one pass can observe within the memory.

        Args:
            ends: names of sites after which a group must end.
        """
        sizes = self._sizes()
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
        self,
        sites: Sequence[Site],
        quantisers: Mapping[Slot, Quantiser] | None = None,
        *,
        fisher: bool = False,
    ) -> dict[str, Observation]:
        """See what sites do on all tiles.

        Args:
            sites: which.
            quantisers: what is quantised meanwhile.
            fisher: whether to take gradients, too.
        """
        patch = patch_of(self.runner, quantisers or {})
        found: dict[str, Observation] = {site.name: Observation([], [], []) for site in sites}
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
                # A gradient needs something to begin with: the image itself, as if it could move.
                values = self._run(images, patch, computed, fisher)
            grads = self._gradients(values, sites, number) if fisher else []
            for index, site in enumerate(sites):
                one = found[site.name]
                one.operands.append(
                    [self._operand(values, name) for name in self.nodes[site.name].inputs]
                )
                one.outputs.append(values[site.output].detach())
                if fisher:
                    one.fisher.append(grads[index])
        return found

    def predictions(self) -> Iterator[torch.Tensor]:
        """What the float network makes of each batch of tiles."""
        for images in self._batches:
            with torch.no_grad():
                yield self.runner.run(images)[self.graph.output_name]

    def _run(self, images: torch.Tensor, patch: Any, keep: set[str], moving: bool) -> Any:
        if moving:
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

    def _sizes(self) -> dict[str, int]:
        """Numbers that an observation of each site keeps over all tiles, gradients included."""
        names = {
            name
            for site in self.sites
            for name in (site.output, *self.nodes[site.name].inputs)
            if name and name not in self.runner.constants
        }
        with torch.no_grad():
            values = self.runner.run(self._batches[0][:1], keep=names)
        tiles = sum(len(batch) for batch in self._batches)
        sizes = {}
        for site in self.sites:
            inputs = [n for n in self.nodes[site.name].inputs if n in values]
            one = 2 * values[site.output].numel() + sum(values[n].numel() for n in inputs)
            sizes[site.name] = one * tiles
        return sizes
