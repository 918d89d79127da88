"""Bootstrap intervals: how much a score would move had other tiles of the same place been scored.

Tiles are drawn with replacement, as many as there are, and the score is computed again from the
drawn tiles; the 2.5th and 97.5th percentiles of many such scores bound the 95 % interval (the
percentile bootstrap; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
Drawing tiles, not pixels, respects that neighbouring pixels err together; that neighbouring tiles
do so too is not respected, so the intervals are rather too narrow.

Beyond `MOST_UNITS` tiles, runs of consecutive ones are drawn as one (blocks, as in P. Hall,
"Resampling a coverage pattern", 1985): the work stays bounded, and runs do err together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
MOST_UNITS = 4096


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def units_of(tiles: int) -> NDArray[np.intp]:
    """What each tile is drawn with, `(T,)`: itself, or its run where there are too many tiles."""
    run = -(-tiles // MOST_UNITS)
    numbers: NDArray[np.intp] = np.arange(tiles) // max(run, 1)
    return numbers


def bootstrap(
    per_tile: NDArray[np.int64] | Counts,
    score: Callable[[Counts], Counts],
    *,
    resamples: int,
    seed: int,
) -> Interval | None:
    """The 95 % interval of a score of summed tile counts.

    Args:
        per_tile: `(T, K)` counts of each tile, in the order of the tiles.
        score: sums of drawn tiles `(B, K)` → scores `(B,)`; NaN where undefined.
        resamples: number of draws.
        seed: seed of the generator.

    Returns:
        The interval; None with fewer than two tiles, or where no draw has a score.
    """
    counts: Counts = per_tile.astype(np.float64)
    if len(counts) > MOST_UNITS:
        starts = np.flatnonzero(np.diff(units_of(len(counts)), prepend=-1))
        counts = np.add.reduceat(counts, starts, axis=0)
    if len(counts) < 2:
        return None
    scores = score(_draws(len(counts), resamples, seed) @ counts)
    scores = scores[~np.isnan(scores)]
    if len(scores) == 0:
        return None
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(float(low), float(high))


@lru_cache(maxsize=2)
def _draws(units: int, resamples: int, seed: int) -> Counts:
    """How often each draw holds each unit, `(resamples, units)`: the same for all scores."""
    chances = np.full(units, 1.0 / units)
    drawn = np.random.default_rng(seed).multinomial(units, chances, size=resamples)
    return drawn.astype(np.float64)
