"""Circles: round buildings, such as tanks, silos, huts and towers.

An outline is taken for a circle when every point of its boundary lies near the circle of the same
area about the same centre. The furthest corner of a square sticks out by a quarter of that radius
and a square with generously rounded corners still by a tenth, so that a limit below that, with a
little room for the pixels themselves, tells the two apart; very small outlines are never circles,
because at a few pixels across everything is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.boundary import Boundary, scatter

FloatArray = NDArray[np.float64]

_LEAST_RADIUS_PX = 6.0
_RELATIVE_DEVIATION = 0.06
_PIXEL_DEVIATION = 0.5
_SAGITTA_PX = 0.15
_UNEVENNESS = 0.1
_LENGTH_DEVIATION = 0.1


def likely_circles(boundary: Boundary) -> NDArray[np.bool_]:
    """Which chains, taken as rings, are worth a closer look: `(C,)`.

    The cracks of a circle of radius r scatter alike in all directions, with a mean square distance
    of r² from the centre, and there are 8 r of them.
    """
    n, xx, xy, yy = scatter(boundary.sums(boundary.first[:-1], boundary.first[1:]))
    even = np.hypot(xx - yy, 2 * xy) < _UNEVENNESS * (xx + yy)
    expected = 8 * np.sqrt((xx + yy) / n)
    likely: NDArray[np.bool_] = even & (np.abs(n - expected) < _LENGTH_DEVIATION * expected)
    return likely


def fit_circle(middles_xy: FloatArray, tolerance_px: float) -> FloatArray | None:
    """The ring `(N + 1, 2)` of a regular polygon of the same area if the outline is round.

    Args:
        middles_xy: float64 `(N, 2)`, the middles of the cracks of a ring.
        tolerance_px: the largest distance of the boundary from the circle, whatever its size.
    """
    x, y = middles_xy.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    area = float(cross.sum()) / 2
    radius = math.sqrt(abs(area) / math.pi)
    if radius < _LEAST_RADIUS_PX:
        return None
    centre_x = float(((x + next_x) * cross).sum()) / (6 * area)
    centre_y = float(((y + next_y) * cross).sum()) / (6 * area)
    away = np.hypot(x - centre_x, y - centre_y) - radius
    if np.abs(away).max() > min(tolerance_px, _RELATIVE_DEVIATION * radius + _PIXEL_DEVIATION):
        return None
    # A side that spans 2π/n leaves the circle by r (1 - cos π/n) ≈ r π² / 2n².
    count = 4 * math.ceil(math.pi * math.sqrt(radius / (2 * _SAGITTA_PX)) / 4)
    count = min(max(count, 16), 64)
    # Through the middles of cracks every corner is cut by an eighth of a pixel, outward corners
    # less inward ones are four: half a pixel is missing.
    outer = math.sqrt(2 * (abs(area) + 0.5) / (count * math.sin(2 * math.pi / count)))
    turn = np.arange(count + 1) % count * (2 * math.pi / count)
    return np.stack([centre_x + outer * np.cos(turn), centre_y + outer * np.sin(turn)], axis=1)
