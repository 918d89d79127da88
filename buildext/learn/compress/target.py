"""Targets: what the engine that will run the network can do in int8.

A quantiser that the kernels do not know costs twice: the layer falls back to floats, and rounding
was for nothing. What OpenVINO 2026.4 runs in int8 on a CPU, read from its runtime graph (see
`int8_share`):

- weights symmetric, for each output channel or for the whole layer; asymmetric ones fall back;
- inputs of convolutions and linear layers by either scheme, with one scale for the whole tensor;
  a scale for each channel runs on depthwise convolutions alone;
- products of two computed tensors with symmetric operands and one scale each; a zero point falls
  back, whatever it is.

ONNX Runtime has these kernels too, with one exception: a quantiser straight behind a convolution
becomes part of it there, and must have one scale (1.27; with more, running the file is an error).

`simulation` allows everything: it answers what a method could
do, not what it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

from buildext.learn.compress.quantiser import Scheme
from buildext.learn.compress.sites import Kind, Site

TargetName = Literal["openvino", "simulation"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to quantise a tensor: by which scheme, and with a scale for each channel or not."""

    scheme: Scheme
    per_channel: bool


@dataclass(frozen=True, slots=True)
class Target:
    """What may be chosen.

    Attributes:
        name: of the engine, or `simulation`.
        uneven: whether quantisers need not be uniform.
    """

    name: TargetName
    uneven: bool

    def activations(self, site: Site) -> tuple[Choice, ...]:
        """Ways to quantise a computed operand of a site; the plainest first."""
        schemes: tuple[Scheme, ...] = ("symmetric", "asymmetric")
        if self.name != "simulation" and site.kind == "attention":
            schemes = ("symmetric",)
        # Where each output has one input channel of its own, that channel may have its own scale.
        channels = [False]
        if site.kind == "depthwise" and (self.name == "simulation" or site.behind != "Conv"):
            channels.append(True)
        return tuple(Choice(s, c) for c, s in product(channels, schemes))

    def weights(self, kind: Kind) -> tuple[Choice, ...]:
        """Ways to quantise weights; the plainest first."""
        if self.name == "simulation":
            return Choice("symmetric", True), Choice("asymmetric", True)
        return (Choice("symmetric", True),)


TARGETS: dict[TargetName, Target] = {
    "openvino": Target("openvino", uneven=False),
    "simulation": Target("simulation", uneven=True),
}
