"""Boundary: many chains of cracks laid end to end, with sums over any stretch at hand.

Fitting a line to a stretch of boundary needs only sums over its cracks: how many there are, Σx, Σy,
Σx², Σxy and Σy² of their middles. Kept as running sums, those of any stretch are one subtraction
away. Cracks that run along a row and cracks that run along a column are summed apart, because a
crack counts for a wall by its length *along* the wall: |cos φ| or |sin φ| for a wall in direction
φ. Then a staircase under any angle weighs as much as the wall that it stands for, and a rounded
corner hardly pulls at the walls beside it.

The middles of cracks are multiples of one half, so that all sums are exact as long as coordinates
stay below some ten thousand pixels, and what is computed for one chain does not depend on which
other chains lie beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Boundary:
    """The cracks of many chains.

    Attributes:
        middles_xy: float64 `(N, 2)`, middles of all cracks, chain after chain.
        first: int64 `(C + 1,)`, the first crack of each chain.
        running: float64 `(N + 1, 2, 6)`, running sums of 1, x, y, x², xy, y², for cracks along rows
            and along columns.
    """

    middles_xy: FloatArray
    first: IntArray
    running: FloatArray

    @classmethod
    def of(cls, chains_xy: Sequence[FloatArray]) -> Boundary:
        """Lay chains `(N + 1, 2)` of grid corners end to end."""
        counts = np.array([len(chain) - 1 for chain in chains_xy])
        points = np.concatenate(chains_xy)
        inside = np.ones(len(points) - 1, dtype=bool)
        inside[np.cumsum(counts + 1)[:-1] - 1] = False
        middles = ((points[:-1] + points[1:]) / 2)[inside]
        upright = (points[:-1, 0] == points[1:, 0])[inside]
        x, y = middles[:, 0], middles[:, 1]
        terms = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y])
        running = np.zeros((len(x) + 1, 2, 6))
        # Summed along rows of memory, which is several times as fast as down the columns.
        running[1:, 0] = np.cumsum(terms * ~upright, axis=1).T
        running[1:, 1] = np.cumsum(terms * upright, axis=1).T
        return cls(middles, np.concatenate([[0], np.cumsum(counts)]), running)

    def sums(self, start: IntArray, stop: IntArray) -> FloatArray:
        """Sums over stretches of cracks: `(...)` → `(..., 2, 6)`."""
        difference: FloatArray = self.running[stop] - self.running[start]
        return difference


def fit_offsets(
    sums: FloatArray, cos: FloatArray, sin: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lines of given directions through stretches of boundary.

    Args:
        sums: float64 `(..., 2, 6)`, see `Boundary.sums`.
        cos: cosine of the direction, broadcastable to `(...)`.
        sin: its sine.

    Returns:
        Length of boundary along the line; offset of the best line, which is normal · point for the
        normal (-sin, cos); summed squares of the distances from that line, weighted by length.
    """
    along_row, along_column = np.abs(cos), np.abs(sin)
    # Where all cracks stand across the line each counts a little, so that there is a mean.
    along_row, along_column = along_row + 1e-9, along_column + 1e-9
    n, x, y, xx, xy, yy = (
        along_row * sums[..., 0, term] + along_column * sums[..., 1, term] for term in range(6)
    )
    offset = (cos * y - sin * x) / n
    square = sin * sin * xx - 2 * sin * cos * xy + cos * cos * yy
    return n, offset, np.maximum(square - offset * offset * n, 0.0)


def scatter(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Number of cracks and scatter xx, xy, yy of their middles about their mean."""
    n, x, y, xx, xy, yy = (sums[..., 0, term] + sums[..., 1, term] for term in range(6))
    n = np.maximum(n, 1.0)
    return n, xx - x * x / n, xy - x * y / n, yy - y * y / n
