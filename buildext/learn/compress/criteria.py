"""Criteria: how wrong a site's output is, in one number or in one for each channel.

Sums over places are turned into errors at the end, so that the criterion can be a ratio of sums, as
the cosine is.
"""

from __future__ import annotations

from typing import Protocol

import torch


class Criterion(Protocol):
    """A way to compare outputs; less is better."""

    needs_fisher: bool

    def sums(
        self, made: torch.Tensor, wanted: torch.Tensor, fisher: torch.Tensor | None
    ) -> torch.Tensor:
        """Sums over the places of `(G, N, C)`, `(k, G, C)`; `made` is overwritten."""
        ...

    def error(self, sums: torch.Tensor) -> torch.Tensor:
        """Of sums `(k, ...)`, without their first axis."""
        ...


class FisherWeighted:
    """Squared differences, each weighted by how much the prediction depends on it."""

    needs_fisher = True

    def sums(
        self, made: torch.Tensor, wanted: torch.Tensor, fisher: torch.Tensor | None
    ) -> torch.Tensor:
        """Sum of `fisher * (made - wanted)^2`."""
        assert fisher is not None
        return made.sub_(wanted).square_().mul_(fisher).sum(1)[None]

    def error(self, sums: torch.Tensor) -> torch.Tensor:
        """The sum itself."""
        return sums[0]


class Cosine:
    """One minus the cosine between outputs: EasyQuant (Wu et al., arXiv 2006.16669), equation 3."""

    needs_fisher = False

    def sums(
        self, made: torch.Tensor, wanted: torch.Tensor, fisher: torch.Tensor | None
    ) -> torch.Tensor:
        """The inner product and both squared lengths."""
        parts = (made * wanted, made.square(), wanted.square())
        return torch.stack([part.sum(1, dtype=torch.float64) for part in parts])

    def error(self, sums: torch.Tensor) -> torch.Tensor:
        """Zero for outputs of one direction; one where an output is zero throughout."""
        inner, one, other = sums
        lengths = torch.clamp((one * other).sqrt(), min=torch.finfo(torch.float64).tiny)
        cosine: torch.Tensor = inner / lengths
        return 1.0 - cosine
