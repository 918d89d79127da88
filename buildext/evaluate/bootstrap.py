"""Bootstrap intervals: how much a score would move had other tiles of the same place been scored.

Tiles are drawn with replacement, as many as there are, and the score is computed again from the
drawn tiles; the 2.5th and 97.5th percentiles of many such scores bound the 95 % interval (the
percentile bootstrap; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
Drawing tiles, not pixels, respects that neighbouring pixels err together; that neighbouring tiles
do so too is not respected, so the intervals are rather too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
_DRAWS_AT_ONCE = 50


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def bootstrap(
    per_tile: NDArray[np.int64] | Counts,
    score: Callable[[Counts], Counts],
    *,
    resamples: int,
    seed: int,
) -> Interval | None:
    """The 95 % interval of a score of summed tile counts.

    Args:
        per_tile: `(T, K)` counts of each tile.
        score: sums of drawn tiles `(B, K)` → scores `(B,)`; NaN where undefined.
        resamples: number of draws.
        seed: seed of the generator.

    Returns:
        The interval; None with fewer than two tiles, or where no draw has a score.
    """
    counts: Counts = per_tile.astype(np.float64)
    tiles = len(counts)
    if tiles < 2:
        return None
    generator = np.random.default_rng(seed)
    chances = np.full(tiles, 1.0 / tiles)
    values = []
    for start in range(0, resamples, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, resamples - start)
        draws = generator.multinomial(tiles, chances, size=size)
        values.append(score(draws @ counts))
    scores = np.concatenate(values)
    scores = scores[~np.isnan(scores)]
    if len(scores) == 0:
        return None
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(float(low), float(high))
