"""The indicator and the performance function: what is asked for, and what is better.

Generative synthesis (Wong et al. 2018, arXiv 1809.05989) looks for a generator G that solves

    max U(G(s))  subject to  1_r(G(s)) = 1  for every seed s

The *indicator* 1_r is 1 where a network keeps every operational constraint. The *performance*
function U is of the NetScore family (Wong 2018, arXiv 1806.05512):

    U(N) = 20 · log10( a^α / (p^β · m^γ) )

with the accuracy a in percent, p million parameters and m milliards of multiply-accumulates for a
tile. NetScore has α = 2, β = γ = 0.5, where half the parameters are worth as much as 19 % more
accuracy: it makes the smallest network that still does something. Here the constraints say how
large a network may be, so β and γ are small by default and decide between equals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from buildext.learn.search.config import ConstraintSection, PerformanceSection

LEAST_SCORE = 1e-3


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known or believed of a network; None where nothing is.

    Attributes:
        parameters: of the whole network.
        macs: multiply-accumulates of one tile.
        latency_ms: of one tile.
        score: F1, 0 to 1.
        int8_share: of the multiply-accumulates, once quantised.
    """

    parameters: int
    macs: int
    latency_ms: float
    score: float | None = None
    int8_share: float | None = None


def violations(figures: Figures, limits: ConstraintSection) -> dict[str, float]:
    """By how much each constraint is missed, as a share of its limit; 0 or less where it is kept.

    What is not known violates nothing.
    """
    found = {"latency_ms": figures.latency_ms / limits.latency_ms - 1}
    if limits.parameters is not None:
        found["parameters"] = figures.parameters / limits.parameters - 1
    if limits.macs is not None:
        found["macs"] = figures.macs / limits.macs - 1
    for name, limit in (("int8_share", limits.int8_share), ("score", limits.score)):
        value = getattr(figures, name)
        if limit:
            found[name] = 0.0 if value is None else 1 - value / limit
    return found


def indicator(figures: Figures, limits: ConstraintSection) -> bool:
    """Whether a network keeps every constraint."""
    return all(value <= 0 for value in violations(figures, limits).values())


def performance(figures: Figures, exponents: PerformanceSection) -> float:
    """U of a network whose score is known or believed; larger is better."""
    assert figures.score is not None
    accuracy = 100 * max(figures.score, LEAST_SCORE)
    return 20 * (
        exponents.accuracy * math.log10(accuracy)
        - exponents.parameters * math.log10(figures.parameters / 1e6)
        - exponents.macs * math.log10(figures.macs / 1e9)
    )
