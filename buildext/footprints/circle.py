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
from shapely import Polygon

FloatArray = NDArray[np.float64]

_LEAST_RADIUS_PX = 6.0
_RELATIVE_DEVIATION = 0.06
_PIXEL_DEVIATION = 0.5
_SAGITTA_PX = 0.15


def fit_circle(points_xy: FloatArray, tolerance_px: float) -> Polygon | None:
    """A regular polygon of the same area where the outline is round, else None.

    Args:
        points_xy: float64 `(N + 1, 2)`, a closed ring of cracks.
        tolerance_px: the largest distance of the boundary from the circle, whatever its size.
    """
    x, y = points_xy[:-1, 0], points_xy[:-1, 1]
    next_x, next_y = points_xy[1:, 0], points_xy[1:, 1]
    cross = x * next_y - next_x * y
    area = cross.sum() / 2
    radius = math.sqrt(abs(area) / math.pi)
    if radius < _LEAST_RADIUS_PX:
        return None
    centre_x = float(((x + next_x) * cross).sum() / (6 * area))
    centre_y = float(((y + next_y) * cross).sum() / (6 * area))
    away = np.hypot((x + next_x) / 2 - centre_x, (y + next_y) / 2 - centre_y) - radius
    limit = min(tolerance_px, _RELATIVE_DEVIATION * radius + _PIXEL_DEVIATION)
    if np.abs(away).max() > limit:
        return None
    return regular_polygon(centre_x, centre_y, abs(float(area)), radius)


def regular_polygon(centre_x: float, centre_y: float, area: float, radius: float) -> Polygon:
    """The regular polygon of a given area whose sides stay close to a circle of `radius`."""
    # A side that spans 2π/n leaves the circle by r (1 - cos π/n) ≈ r π² / 2n².
    count = 4 * math.ceil(math.pi * math.sqrt(radius / (2 * _SAGITTA_PX)) / 4)
    count = min(max(count, 16), 64)
    outer = math.sqrt(2 * area / (count * math.sin(2 * math.pi / count)))
    turn = np.arange(count) * (2 * math.pi / count)
    return Polygon(np.stack([centre_x + outer * np.cos(turn), centre_y + outer * np.sin(turn)], 1))
