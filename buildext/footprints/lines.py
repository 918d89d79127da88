"""Lines: from the straight lines of consecutive walls to the corners between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Cosine between the headings of walls that nearly double back.
_ACUTE = math.cos(math.radians(140))


# Sine of the angle below which two walls count as parallel.
_PARALLEL = math.sin(math.radians(12))
# Sine of the angle below which the intersection of two lines says nothing.
_ONE_DIRECTION = 1e-6
# A ring has at least this many walls.
_LEAST_RING = 4


class Line(NamedTuple):
    """The line of a wall: all points with cos · y - sin · x = offset.

    Attributes:
        cos: cosine of its direction of travel.
        sin: sine of its direction of travel.
        offset_px: distance from the origin along the normal (-sin, cos).
        length_px: length of boundary that it stands for.
        start_x: where on the boundary its wall begins.
        start_y: see `start_x`.
        free: whether it follows no axis.
    """

    cos: float
    sin: float
    offset_px: float
    length_px: float
    start_x: float
    start_y: float
    free: bool

    def through(self, x: float, y: float) -> Line:
        """The parallel line through a point."""
        offset_px = self.cos * y - self.sin * x
        return Line(self.cos, self.sin, offset_px, *self[3:])

    def foot(self, x: float, y: float) -> tuple[float, float]:
        """The point of the line nearest to a point."""
        away = self.offset_px - self.cos * y + self.sin * x
        return x - away * self.sin, y + away * self.cos


def meet(a: Line, b: Line) -> tuple[float, float]:
    """The corner between two consecutive lines."""
    if a.cos * b.cos + a.sin * b.sin < _ACUTE:
        # The intersection of walls that nearly double back may lie far outside: the tip of the
        # boundary itself is used, on the line that follows an axis if one does.
        if a.free and b.free:
            return _halfway(a, b)
        return (b if a.free else a).foot(b.start_x, b.start_y)
    det = a.cos * b.sin - a.sin * b.cos
    if abs(det) < _ONE_DIRECTION:
        # Two walls of one frame, with what stood between them gone.
        return _halfway(a, b)
    return (
        (a.offset_px * b.cos - b.offset_px * a.cos) / det,
        (a.offset_px * b.sin - b.offset_px * a.sin) / det,
    )


def _halfway(a: Line, b: Line) -> tuple[float, float]:
    """Where `b` begins on the boundary, halfway between the two lines."""
    from_a, from_b = a.foot(b.start_x, b.start_y), b.foot(b.start_x, b.start_y)
    return (from_a[0] + from_b[0]) / 2, (from_a[1] + from_b[1]) / 2


def closed_line(walls: Sequence[Line]) -> FloatArray:
    """The ring `(N + 1, 2)` that the walls of a closed arc enclose."""
    ring = list(walls)
    while True:
        corners = [meet(ring[n - 1], ring[n]) for n in range(len(ring))]
        corners.append(corners[0])
        backwards = _first_backwards(ring, corners)
        if backwards is None or len(ring) <= _LEAST_RING:
            return np.array(corners)
        # Seen from the wall that runs backwards, the ring is an open line without bound ends.
        ring = _without(ring[backwards:] + ring[:backwards], 0, bound=False)


def open_line(walls: Sequence[Line], start_xy: FloatArray, end_xy: FloatArray) -> FloatArray:
    """The line `(N + 1, 2)` of an arc between two nodes, through which its end walls are moved."""
    start, end = start_xy.tolist(), end_xy.tolist()
    moved = list(walls)
    while len(moved) > 1:
        moved[0] = moved[0].through(*start)
        moved[-1] = moved[-1].through(*end)
        corners = [start, *(meet(a, b) for a, b in pairwise(moved)), end]
        backwards = _first_backwards(moved, corners)
        if backwards is None:
            return np.array(corners)
        moved = _without(moved, backwards, bound=True)
    return np.array([start, end])


def _first_backwards(walls: Sequence[Line], corners: Sequence[Sequence[float]]) -> int | None:
    """The first wall that runs against its heading from its corner to the next."""
    for number, (wall, (a, b)) in enumerate(zip(walls, pairwise(corners), strict=True)):
        if (b[0] - a[0]) * wall.cos + (b[1] - a[1]) * wall.sin < 0:
            return number
    return None


def _without(walls: list[Line], number: int, *, bound: bool) -> list[Line]:
    """The walls less one that came to run backwards, when its neighbours moved past each other.

    Neighbours that run in parallel become one: the shorter goes too, and what stood behind it is
    the next neighbour.
    """
    kept = walls[:number] + walls[number + 1 :]
    right = number  # of the gap; in a ring the walls on both sides of it are the first and the last
    while len(kept) >= _LEAST_RING or (bound and len(kept) > 1):
        if bound and not 0 < right < len(kept):
            break
        a, b = kept[right - 1], kept[right % len(kept)]
        if abs(a.cos * b.sin - a.sin * b.cos) >= _PARALLEL:
            break
        if a.length_px < b.length_px:
            del kept[right - 1]
            right = max(0, right - 1)
        else:
            del kept[right % len(kept)]
    return kept
