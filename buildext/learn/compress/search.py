"""Interval search: how far a quantiser should reach.

A wide interval keeps the largest values and rounds all others coarsely, a narrow one cuts off the
largest and tells the others well apart. The best lies in between, and is found by trying: 101
factors from 0.01 to 1.2 of the whole range, weights and activations in turns (Q-HyViT, after
EasyQuant). The error over the factor has one broad valley, so every eighth factor is tried first
and then those around the best: 27 instead of 101.

What is tried is a product of matrices over some places of the site: see `sample`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from buildext.learn.compress.criteria import Criterion
from buildext.learn.compress.interval import Interval, interval_of
from buildext.learn.compress.quantiser import Quantiser, Uniform
from buildext.learn.compress.sample import Sample
from buildext.learn.compress.target import Choice

FACTORS = torch.linspace(0.01, 1.2, 101)
STRIDE = 8
ROUNDS = 3


def best_factors(
    error: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor, stride: int = STRIDE
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors with the least error, independently for each channel.

    Args:
        error: of factors of the shape of `like`, in that shape.
        like: a scalar or `(C,)`.
        stride: of the first look; 1 tries them all.

    Returns:
        The factors and their errors.
    """
    factors = FACTORS.to(like.device)
    least = torch.full(like.shape, torch.inf, dtype=torch.float64, device=like.device)
    best = torch.zeros(like.shape, dtype=torch.long, device=like.device)

    def attempt(index: torch.Tensor) -> None:
        nonlocal least, best
        found = error(factors[index]).double()
        better = found < least
        best, least = torch.where(better, index, best), torch.where(better, found, least)

    # The whole range goes first: where nothing depends on a channel, it stays.
    attempt(torch.full_like(best, int((factors - 1).abs().argmin())))
    for index in range(0, len(factors), stride):
        attempt(torch.full_like(best, index))
    centre = best.clone()
    for offset in range(1 - stride, stride):
        if offset:
            attempt((centre + offset).clamp(0, len(factors) - 1))
    return factors[best], least


class SiteSearch:
    """The search at one site: which quantisers its operands get.

    Args:
        sample: of the site.
        criterion: what is least.
        bits: of all operands.

    Attributes:
        sample: of the site.
    """

    def __init__(self, sample: Sample, criterion: Criterion, bits: int) -> None:
        self.sample, self._criterion, self._bits = sample, criterion, bits
        self._intervals = dict(sample.ranges)

    def start(self, position: int, choice: Choice) -> Uniform:
        """The quantiser of an operand over its whole range."""
        return self._interval(position, choice).quantiser(choice, self._bits)

    def run(
        self, choices: Mapping[int, tuple[Choice, ...]], rounds: int = ROUNDS
    ) -> tuple[dict[int, Uniform], float]:
        """Search all operands in turns.

        Args:
            choices: by the position of an operand, the ways to quantise it; the first to begin
                with. The best way is settled in the first round.
            rounds: over all operands, at most.

        Returns:
            A quantiser for each position, and the error that is left.
        """
        found = {position: self.start(position, ways[0]) for position, ways in choices.items()}
        # Weights before activations: they have an interval for each channel to gain.
        order = sorted(choices, reverse=True)
        ways = dict(choices)
        for turn in range(rounds * len(order)):
            position = order[turn % len(order)]
            before = found[position]
            found[position], kept = self._improve(position, ways[position], found)
            ways[position] = (kept,)
            # The other was searched last with this one as it is: nothing is left to be gained.
            if turn >= len(order) and torch.equal(found[position].scale, before.scale):
                break
        return found, self.error(found)

    def error(self, quantisers: Mapping[int, Quantiser]) -> float:
        """The error that is left when these operands are quantised so."""
        first, second = (self.sample.operand(k, quantisers.get(k)) for k in (0, 1))
        return float(self._error_of(self.sample.make(first, second), apart=False))

    def _improve(
        self, position: int, ways: tuple[Choice, ...], found: Mapping[int, Uniform]
    ) -> tuple[Uniform, Choice]:
        """The best quantiser of one operand while the other keeps its own."""
        sample, other = self.sample, 1 - position
        factors_of_product = [sample.first, sample.second]
        factors_of_product[other] = sample.operand(other, found.get(other))
        own = torch.empty_like(sample.first) if position == 0 else None
        made = torch.empty_like(sample.wanted)
        best: tuple[float, Uniform, Choice] | None = None
        for choice in ways:
            interval = self._interval(position, choice)

            def error(
                factor: torch.Tensor, interval: Interval = interval, choice: Choice = choice
            ) -> torch.Tensor:
                quantiser = interval.quantiser(choice, self._bits, factor)
                factors_of_product[position] = sample.operand(position, quantiser, own)
                return self._error_of(
                    sample.make(factors_of_product[0], factors_of_product[1], made),
                    apart=interval.low.ndim > 0,
                )

            factors, left = best_factors(error, interval.low)
            total = float(left.sum())
            if best is None or total < best[0]:
                best = total, interval.quantiser(choice, self._bits, factors), choice
        assert best is not None
        return best[1], best[2]

    def _interval(self, position: int, choice: Choice) -> Interval:
        key = position, choice.per_channel
        if key not in self._intervals:
            # Computed operands have all theirs in the sample.
            axis = self.sample.site.weight_axis if choice.per_channel else None
            self._intervals[key] = interval_of([self.sample.second], axis)
        return self._intervals[key]

    def _error_of(self, made: torch.Tensor, apart: bool) -> torch.Tensor:
        """The error of outputs, `()`, or `(C,)` of each channel apart."""
        sums = self._criterion.sums(made, self.sample.wanted, self.sample.fisher).flatten(1)
        return self._criterion.error(sums if apart else sums.sum(1))
