"""Criteria: how wrong a site's output is, in one number or in one for each channel.

Sums are collected batch by batch and turned into errors at the end, so that the criterion can be a
ratio of sums, as the cosine is.
"""

from __future__ import annotations

from typing import Protocol

import torch


def sum_but(values: torch.Tensor, axis: int | None) -> torch.Tensor:
    """The sum over all axes but one, `(C,)`, or over all, `()`."""
    if axis is None:
        return values.sum()
    others = [k for k in range(values.ndim) if k != axis % values.ndim]
    return values.sum(others)


class Criterion(Protocol):
    """A way to compare outputs; less is better."""

    needs_fisher: bool

    def sums(
        self,
        made: torch.Tensor,
        wanted: torch.Tensor,
        fisher: torch.Tensor | None,
        axis: int | None,
    ) -> torch.Tensor:
        """What to add up over batches, `(k,)` or `(k, C)`."""
        ...

    def error(self, sums: torch.Tensor) -> torch.Tensor:
        """`()` or `(C,)`."""
        ...


class FisherWeighted:
    """Squared differences, each weighted by how much the prediction depends on it."""

    needs_fisher = True

    def sums(
        self,
        made: torch.Tensor,
        wanted: torch.Tensor,
        fisher: torch.Tensor | None,
        axis: int | None,
    ) -> torch.Tensor:
        """Sum of `fisher * (made - wanted)^2`."""
        assert fisher is not None
        return sum_but(fisher * (made - wanted).square(), axis)[None]

    def error(self, sums: torch.Tensor) -> torch.Tensor:
        """The sum itself."""
        return sums[0]


class Cosine:
    """One minus the cosine between outputs: EasyQuant (Wu et al., arXiv 2006.16669), equation 3."""

    needs_fisher = False

    def sums(
        self,
        made: torch.Tensor,
        wanted: torch.Tensor,
        fisher: torch.Tensor | None,
        axis: int | None,
    ) -> torch.Tensor:
        """The inner product and both squared lengths."""
        parts = (made * wanted, made.square(), wanted.square())
        return torch.stack([sum_but(part.double(), axis) for part in parts])

    def error(self, sums: torch.Tensor) -> torch.Tensor:
        """Zero for outputs of one direction; one where an output is zero throughout."""
        inner, one, other = sums
        lengths = torch.clamp((one * other).sqrt(), min=torch.finfo(torch.float64).tiny)
        cosine: torch.Tensor = inner / lengths
        return 1.0 - cosine
