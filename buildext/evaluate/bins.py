"""Bins: ranges of a number with names, for sizes and angles.

A bin holds its lower limit. The limits are declared in every output; two tables with other limits
cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Bins:
    """Ranges between ascending limits, the first from 0, the last without an end.

    Attributes:
        limits: ascending, above 0.
        unit: of the numbers, as printed.
    """

    limits: tuple[float, ...]
    unit: str

    def __len__(self) -> int:
        return len(self.limits) + 1

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Lower and upper limit of each bin; None stands for an open end."""
        uppers: tuple[float | None, ...] = (*self.limits, None)
        return tuple(zip((0.0, *self.limits), uppers, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """The ranges as text."""
        texts = [f"{limit:g}" for limit in self.limits]
        # The degree sign alone stands without a space.
        unit = self.unit if self.unit == "°" else f" {self.unit}"
        between = [f"{low}–{high}{unit}" for low, high in pairwise(texts)]
        return (f"< {texts[0]}{unit}", *between, f"≥ {texts[-1]}{unit}")

    def assign(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """Index of each value's bin; -1 where it is NaN."""
        found = np.searchsorted(self.limits, values, side="right")
        return np.where(np.isnan(values), -1, found).astype(np.intp)


# Sheds and huts, houses, blocks and rows, halls. Ours, declared like the height classes.
SIZE_BINS = Bins((50.0, 200.0, 1000.0), "m²")
OFF_NADIR_BINS = Bins((10.0, 20.0, 30.0, 40.0), "°")
