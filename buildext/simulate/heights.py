"""Heights for buildings that have none: drawn from a lognormal distribution.

Heights of a town are skewed: many low houses, few towers. The logarithm of their height is roughly
normal, told by the median (half of the buildings are lower) and the spread (the standard deviation
of the logarithm: at 0.6, two thirds of the buildings lie within a factor of 1.8 of the median).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.errors import InputError, UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeightDistribution:
    """A lognormal distribution of heights in metres; spread 0 gives all the same height."""

    median_m: float = 8.0
    spread: float = 0.6

    def __post_init__(self) -> None:
        if not (self.median_m > 0 and self.spread >= 0):
            raise UsageError(
                f"got heights with median {self.median_m:g} m and spread {self.spread:g}; "
                "expected a positive median and a spread of 0 or more",
                hint="for example a median of 8 m and a spread of 0.6",
            )

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Heights in metres, `(count,)`."""
        return np.exp(math.log(self.median_m) + self.spread * rng.standard_normal(count))


def check_heights(heights_m: Floats, what: str) -> None:
    """Refuse heights below zero.

    Raises:
        InputError: some are.
    """
    below = np.flatnonzero(heights_m < 0)
    if len(below):
        raise InputError(
            f"got {what} of {heights_m[below[0]]:g} m in row {below[0]} "
            f"({len(below)} of {len(heights_m)} rows are below zero); expected 0 or more",
            hint="repair these rows or leave them out",
        )
