"""Intervals: the range that a tensor was seen in, whole or channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from buildext.learn.compress.quantiser import Uniform, make
from buildext.learn.compress.target import Choice


@dataclass(frozen=True, slots=True)
class Interval:
    """The whole range of a tensor, a scalar or one for each channel."""

    low: torch.Tensor
    high: torch.Tensor
    axis: int | None

    def quantiser(self, choice: Choice, bits: int, factor: torch.Tensor | float = 1.0) -> Uniform:
        """A quantiser over a part of the range."""
        low, high = self.low * factor, self.high * factor
        return make(choice.scheme, low, high, bits, self.axis)


def interval_of(tensors: Sequence[torch.Tensor], axis: int | None = None) -> Interval:
    """The range of several tensors, whole or along an axis."""
    lows, highs = [], []
    for values in tensors:
        others = [k for k in range(values.ndim) if axis is not None and k != axis % values.ndim]
        lows.append(values.amin(others) if axis is not None else values.amin())
        highs.append(values.amax(others) if axis is not None else values.amax())
    return Interval(torch.stack(lows).amin(0), torch.stack(highs).amax(0), axis)


def together(intervals: Sequence[Interval]) -> Interval:
    """One interval that contains several of one kind."""
    lows, highs = zip(*((one.low, one.high) for one in intervals), strict=True)
    return Interval(torch.stack(lows).amin(0), torch.stack(highs).amax(0), intervals[0].axis)
