"""Work: what a network asks of an engine, kind by kind of its parts.

Time on a processor is not proportional to operations: a depthwise convolution moves as much memory
as a dense one and computes a hundredth. For each *kind* of part (the stem, the convolution that
condenses its embedding, those that halve a map, each kind of block, each decoder) four sums are
taken at one size of tile:

- `dense`: multiply-accumulates in convolutions and linear layers;
- `product`: those in products of two computed maps, attention;
- `elements`: numbers that layers write;
- `layers`: how many layers there are, each of which costs a start.

All is counted on torch's meta device, where shapes are computed and numbers are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.networks.encoders.searched import SearchedEncoder, Stage
from buildext.learn.networks.encoders.searched_plan import TAP
from buildext.learn.networks.macs import count_parameters
from buildext.models.card import NetworkSpec

STEM, CONDENSE, SHRINK = "stem", "condense", "shrink"
# Layers that run as an operation of their own; norms and activations behind them are fused.
COUNTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.LayerNorm)
PRODUCTS = ("bmm", "baddbmm")
CHANNELS = ("building",)


@dataclass(frozen=True, slots=True)
class Work:
    """The four sums of one kind of part."""

    dense: float = 0.0
    product: float = 0.0
    elements: float = 0.0
    layers: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


Works = dict[str, Work]


@dataclass(frozen=True, slots=True)
class Sketch:
    """What can be said of a network without computing anything with it.

    Attributes:
        parameters: of the whole.
        macs: multiply-accumulates of one tile.
        works: by kind; empty for an encoder whose parts are not told apart.
    """

    parameters: int
    macs: int
    works: Works


@torch.no_grad()
def sketch(spec: NetworkSpec, tile_px: int) -> Sketch:
    """Build a network on the meta device and count.

    Raises:
        ModelError: it cannot be built.
    """
    with torch.device("meta"):
        network = build_network(spec, CHANNELS).eval()
        image = torch.zeros(1, 3, tile_px, tile_px)
    macs, works = count(network, (image,), kinds_of(network))
    return Sketch(count_parameters(network), macs, works)


def kinds_of(network: SegmentationNetwork) -> dict[str, str]:
    """The kind of each part of a network, by the part's path; none for foreign encoders."""
    encoder = network.encoder
    if not isinstance(encoder, SearchedEncoder):
        return {}
    kinds = {"encoder.stem2": STEM, "encoder.stem4": STEM}
    for number, stage in enumerate(encoder.stages):
        assert isinstance(stage, Stage)
        kinds |= kinds_of_stage(stage, f"encoder.stages.{number}.")
    return kinds | dict.fromkeys(("decoder", "head"), network.spec.decoder)


def kinds_of_stage(stage: Stage, path: str = "") -> dict[str, str]:
    """The kind of each part of a stage, by the part's path.

    A block that pools its queries is a kind of its own: what it does with memory costs an engine
    two or three times what its operations would.
    """
    shrink = CONDENSE if stage.first else SHRINK
    kind = stage.kind if stage.kind != TAP else shrink
    kinds = {f"{path}shrink": shrink, f"{path}position": kind}
    for index in range(len(stage.blocks)):
        pools = stage.pooled and index == 0
        kinds[f"{path}blocks.{index}"] = f"{kind} pooled" if pools else kind
    return kinds


@torch.no_grad()
def count(
    module: nn.Module, inputs: tuple[Any, ...], kinds: Mapping[str, str]
) -> tuple[int, Works]:
    """All multiply-accumulates of a module, and the work by kind.

    Args:
        module: on the meta device, in evaluation mode.
        inputs: likewise.
        kinds: by path below `module`.
    """
    written = dict.fromkeys(kinds, (0, 0))
    hooks = []
    for path in kinds:
        for layer in module.get_submodule(path).modules():
            if isinstance(layer, COUNTED):
                hooks.append(layer.register_forward_hook(_adder(written, path)))
    # Fused attention hides its products from the counter; the plain one shows them.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module(*inputs)
    for hook in hooks:
        hook.remove()
    by_path = counter.get_flop_counts()
    root = type(module).__name__
    works: Works = {}
    for path, kind in kinds.items():
        operations = by_path.get(f"{root}.{path}", {})
        names = {str(operation).split(".")[-1]: flops for operation, flops in operations.items()}
        product = sum(flops for name, flops in names.items() if name in PRODUCTS)
        dense = sum(names.values()) - product
        elements, layers = written[path]
        own = Work(dense / 2, product / 2, elements, layers)
        works[kind] = works.get(kind, Work()) + own
    return int(counter.get_total_flops()) // 2, works


def _adder(written: dict[str, tuple[int, int]], path: str) -> Any:
    def add(_: nn.Module, __: object, output: torch.Tensor) -> None:
        elements, layers = written[path]
        written[path] = elements + output.numel(), layers + 1

    return add
