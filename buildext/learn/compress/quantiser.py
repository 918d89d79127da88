"""Quantisers: which values a tensor may take.

A uniform quantiser of b bits keeps 2^b levels at equal steps, `value = scale * (level - zero)`.
*Symmetric*: signed levels and zero = 0; half of them are lost on a tensor that is never negative.
*Asymmetric*: unsigned levels and any zero among them; zero itself is always a value, since padding
is made of it. One scale may serve the whole tensor, or each channel has its own.

Rounding is to the nearest level, ties to even, and levels beyond the ends saturate: precisely what
`QuantizeLinear` and `DequantizeLinear` of ONNX do, so a fake-quantised network in torch and the
exported one compute the same numbers, up to the order of summation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from buildext.learn.compress.ir.operators import along

Scheme = Literal["symmetric", "asymmetric"]
# An interval of no width, as a channel that is always zero has, gets this step.
SMALLEST_SCALE = 1e-8


class Quantiser(Protocol):
    """What changes a tensor to one that few bits can tell."""

    @property
    def bits(self) -> int:
        """Bits that a level is stored in."""
        ...

    def fake(self, values: torch.Tensor) -> torch.Tensor:
        """The nearest values that can be told, as floats of the same shape."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """A uniform quantiser.

    Attributes:
        scale: float32, a scalar or one for each channel.
        zero: the level of the value 0; float32 whole numbers of the shape of `scale`.
        bits: of a level.
        signed: levels from -2^(b-1), else from 0.
        axis: of the channels, if each has its own scale.
    """

    scale: torch.Tensor
    zero: torch.Tensor
    bits: int
    signed: bool
    axis: int | None = None

    @property
    def lowest(self) -> int:
        """The first level."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """The last level."""
        return self.lowest + (1 << self.bits) - 1

    def levels(self, values: torch.Tensor) -> torch.Tensor:
        """The level of each value, whole numbers as floats."""
        axis = self.axis or 0
        scale, zero = along(self.scale, values, axis), along(self.zero, values, axis)
        return torch.clamp(torch.round(values / scale) + zero, self.lowest, self.highest)

    def fake(self, values: torch.Tensor) -> torch.Tensor:
        """The values of the levels; the gradient passes straight through between the ends."""
        made: torch.Tensor = _StraightThrough.apply(values, self)
        return made

    def into(self, values: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The same without a gradient, made in `out` or in one new tensor.

        A search asks for this thousands of times, and memory that is fresh each time costs several
        times the arithmetic.
        """
        axis = self.axis or 0
        scale, zero = along(self.scale, values, axis), along(self.zero, values, axis)
        levels = torch.div(values, scale, out=out).round_()
        if zero.ndim == 0:
            # Limits that are plain numbers are a tenth of the work.
            levels.clamp_(self.lowest - float(zero), self.highest - float(zero))
        else:
            levels.clamp_(self.lowest - zero, self.highest - zero)
        return levels.mul_(scale)

    def limits(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest and the largest value, of the shape of `scale`."""
        return (self.lowest - self.zero) * self.scale, (self.highest - self.zero) * self.scale


class _StraightThrough(torch.autograd.Function):
    """Rounding whose gradient is one inside the interval and zero where it saturates.

    Bengio et al., arXiv 1308.3432.
    """

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, quantiser: Uniform) -> torch.Tensor:
        made = quantiser.into(values)
        if ctx.needs_input_grad[0]:
            axis = quantiser.axis or 0
            scale, zero = along(quantiser.scale, values, axis), along(quantiser.zero, values, axis)
            levels = torch.round(values / scale) + zero
            ctx.save_for_backward((levels >= quantiser.lowest) & (levels <= quantiser.highest))
        return made

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (inside,) = ctx.saved_tensors
        return grad * inside, None


def symmetric(largest: torch.Tensor, bits: int, axis: int | None = None) -> Uniform:
    """Signed levels around zero: scale = max|x| / (2^(b-1) - 0.5), as Q-HyViT begins.

    The half keeps the largest value on the last level instead of beyond it.
    """
    scale = largest.float() / (2 ** (bits - 1) - 0.5)
    scale = torch.clamp(scale, min=SMALLEST_SCALE)
    return Uniform(scale, torch.zeros_like(scale), bits, True, axis)


def asymmetric(
    low: torch.Tensor, high: torch.Tensor, bits: int, axis: int | None = None
) -> Uniform:
    """Unsigned levels over `[low, high]`, widened where needed so that zero is among the values.

    Widening keeps the zero's level inside 0 ... 2^b - 1. At the bridges of hybrid transformers
    tensors lie far from zero, and a level beyond the ends would wrap around in eight bits.
    """
    low, high = torch.clamp(low.float(), max=0.0), torch.clamp(high.float(), min=0.0)
    scale = torch.clamp((high - low) / (2**bits - 1), min=SMALLEST_SCALE)
    zero = torch.clamp(torch.round(-low / scale), 0, 2**bits - 1)
    return Uniform(scale, zero, bits, False, axis)


def make(
    scheme: Scheme, low: torch.Tensor, high: torch.Tensor, bits: int, axis: int | None = None
) -> Uniform:
    """A uniform quantiser over an interval by either scheme."""
    if scheme == "symmetric":
        return symmetric(torch.maximum(low.abs(), high.abs()), bits, axis)
    return asymmetric(low, high, bits, axis)


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """Levels that are powers of `1 / base`: for attention, whose values crowd near zero.

    x -> base^-q with q = round(-log_base(x / top)), 0 <= q < 2^b; 0 at the last level. Base 2 in
    FQ-ViT (Lin et al., IJCAI 2022), the square root of 2 in RepQ-ViT (Li et al., ICCV 2023). No
    engine multiplies such numbers: this can only be simulated.
    """

    top: float
    bits: int
    base: float = 2.0

    def fake(self, values: torch.Tensor) -> torch.Tensor:
        """The nearest powers."""
        last = 2**self.bits - 1
        relative = torch.clamp(values / self.top, min=torch.finfo(torch.float32).tiny)
        level = torch.round(-torch.log(relative) / torch.log(torch.tensor(self.base)))
        power = self.top * self.base ** -torch.clamp(level, 0, last)
        return torch.where(level >= last, torch.zeros_like(power), power)


@dataclass(frozen=True, slots=True)
class Twin:
    """Two uniform ranges, a fine and a coarse one, told apart by one bit.

    PTQ4ViT (Yuan et al., ECCV 2022), section 3.1. After a softmax values below `split` lie on the
    fine grid, those above on the coarse one; after GELU or SiLU the negative values, which are
    small, have the fine grid. Can only be simulated.
    """

    fine: Uniform
    coarse: Uniform
    split: float

    @property
    def bits(self) -> int:
        """Bits of a level with the one that tells the ranges apart."""
        return self.fine.bits + 1

    def fake(self, values: torch.Tensor) -> torch.Tensor:
        """The nearest values of the range that a value belongs to."""
        below = values < self.split
        return torch.where(below, self.fine.fake(values), self.coarse.fake(values))
