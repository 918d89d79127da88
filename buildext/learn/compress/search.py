"""Interval search: how far a quantiser should reach.

A wide interval keeps the largest values and rounds all others coarsely, a narrow one cuts off the
largest and tells the others well apart. The best lies in between, and is found by trying: 101
factors from 0.01 to 1.2 of the whole range, weights and activations in turns (Q-HyViT, after
EasyQuant). The error over the factor has one broad valley, so every eighth factor is tried first
and then those around the best: 27 instead of 101.

Errors are sums over places. Where maps are large a few tiles hold millions of them, and the others
would tell nothing new: such sites are judged by fewer tiles, while ranges are taken from all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from buildext.learn.compress.criteria import Criterion
from buildext.learn.compress.quantiser import Quantiser, Uniform, make
from buildext.learn.compress.sites import Site
from buildext.learn.compress.target import Choice
from buildext.learn.compress.workbench import Observation, Workbench

FACTORS = torch.linspace(0.01, 1.2, 101)
STRIDE = 8
ROUNDS = 3
# Outputs that a site is judged by; at least one batch of tiles.
ENOUGH_OUTPUTS = 6_000_000


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


def interval_of(tensors: list[torch.Tensor], axis: int | None = None) -> Interval:
    """The range of several tensors, whole or along an axis."""
    lows, highs = [], []
    for values in tensors:
        others = [k for k in range(values.ndim) if axis is not None and k != axis % values.ndim]
        lows.append(values.amin(others) if axis is not None else values.amin())
        highs.append(values.amax(others) if axis is not None else values.amax())
    return Interval(torch.stack(lows).amin(0), torch.stack(highs).amax(0), axis)


class SiteSearch:
    """The search at one site: which quantisers its operands get.

    Args:
        bench: where the site runs.
        site: which.
        seen: what it did.
        criterion: what is least.
        bits: of all operands.
    """

    def __init__(
        self, bench: Workbench, site: Site, seen: Observation, criterion: Criterion, bits: int
    ) -> None:
        self._bench, self._site, self._seen, self._criterion = bench, site, seen, criterion
        self._bits = bits
        # Outputs' channels: second in maps, last in products.
        self._axis = None if site.kind == "attention" else site.channel_axis
        self._intervals: dict[tuple[int, bool], Interval] = {}
        self._judging = self._evenly(ENOUGH_OUTPUTS)

    def start(self, position: int, choice: Choice) -> Uniform:
        """The quantiser of an operand over its whole range."""
        return self._interval(position, choice).quantiser(choice, self._bits)

    def run(
        self, choices: dict[int, tuple[Choice, ...]], rounds: int = ROUNDS
    ) -> tuple[dict[int, Uniform], float]:
        """Search all operands in turns.

        Args:
            choices: by the position of an operand, the ways to quantise it; the first to begin
                with. The best way is settled in the first round.
            rounds: over all operands, unless one changes nothing.

        Returns:
            A quantiser for each position, and the error that is left.
        """
        found = {position: self.start(position, ways[0]) for position, ways in choices.items()}
        ways = dict(choices)
        for _ in range(rounds):
            before = dict(found)
            # Weights before activations: they have an interval for each channel to gain.
            for position in sorted(choices, reverse=True):
                found[position], kept = self._improve(position, ways[position], found)
                ways[position] = (kept,)
            if all(torch.equal(found[p].scale, before[p].scale) for p in found):
                break
        return found, self.error(found)

    def error(self, quantisers: Mapping[int, Quantiser]) -> float:
        """The error that is left when these operands are quantised so."""
        return float(self._error_of(dict(enumerate(self._seen.operands)), quantisers, None))

    def _improve(
        self, position: int, ways: tuple[Choice, ...], found: dict[int, Uniform]
    ) -> tuple[Uniform, Choice]:
        """The best quantiser of one operand while the others keep theirs."""
        others = {p: q for p, q in found.items() if p != position}
        batches = self._seen.operands
        fixed = {k: self._quantised(batches[k], others) for k in self._judging}
        best: tuple[float, Uniform, Choice] | None = None
        for choice in ways:
            interval = self._interval(position, choice)
            apart = self._axis if interval.low.ndim else None

            def error(
                factor: torch.Tensor,
                interval: Interval = interval,
                choice: Choice = choice,
                apart: int | None = apart,
            ) -> torch.Tensor:
                quantiser = interval.quantiser(choice, self._bits, factor)
                return self._error_of(fixed, {position: quantiser}, apart)

            factors, left = best_factors(error, interval.low)
            total = float(left.sum())
            if best is None or total < best[0]:
                best = total, interval.quantiser(choice, self._bits, factors), choice
        assert best is not None
        return best[1], best[2]

    def _interval(self, position: int, choice: Choice) -> Interval:
        key = position, choice.per_channel
        if key not in self._intervals:
            axis: int | None = None
            if choice.per_channel:
                is_weight = self._site.weight == (self._site.name, position)
                axis = self._site.weight_axis if is_weight else self._site.channel_axis
            operands = self._seen.operands
            batches = operands[:1] if self._is_weight(position) else operands
            self._intervals[key] = interval_of([batch[position] for batch in batches], axis)
        return self._intervals[key]

    def _evenly(self, enough: int) -> list[int]:
        """Numbers of batches, evenly spaced, whose outputs are enough or all there are."""
        count = len(self._seen.outputs)
        each = max(1, self._seen.outputs[0].numel())
        wanted = min(count, max(1, -(-enough // each)))
        return [k * count // wanted for k in range(wanted)]

    def _is_weight(self, position: int) -> bool:
        return self._site.weight is not None and self._site.weight[1] == position

    def _quantised(self, operands: list[Any], quantisers: dict[int, Uniform]) -> list[Any]:
        return [
            quantisers[k].fake(value) if k in quantisers else value
            for k, value in enumerate(operands)
        ]

    def _error_of(
        self,
        batches: Mapping[int, list[Any]],
        quantisers: Mapping[int, Quantiser],
        axis: int | None,
    ) -> torch.Tensor:
        """The error over batches, by number, with some operands quantised."""
        constant = {
            p: q.fake(self._seen.operands[0][p])
            for p, q in quantisers.items()
            if self._is_weight(p)
        }
        total: torch.Tensor | None = None
        for number, operands in batches.items():
            inputs = [
                constant[k]
                if k in constant
                else quantisers[k].fake(value)
                if k in quantisers
                else value
                for k, value in enumerate(operands)
            ]
            made = self._bench.run_site(self._site, inputs)
            fisher = self._seen.fisher[number] if self._criterion.needs_fisher else None
            sums = self._criterion.sums(made, self._seen.outputs[number], fisher, axis)
            total = sums if total is None else total + sums
        assert total is not None
        return self._criterion.error(total)
