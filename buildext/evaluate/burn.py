"""Burning: polygons into pixels, thousands at once.

A pixel belongs to a polygon where its centre lies inside. Along a row of pixel centres every edge
that crosses the row adds its direction, +1 or -1, from the crossing on; summed from the left, that
is the winding number, above 0 exactly inside. Shells are taken as turning one way and holes the
other, so polygons may overlap, and the sums of all simply add up. Nothing loops over polygons: a
row's crossings of all edges are one array.

A centre that lies exactly on an edge belongs to the polygon on the edge's right or below it, so two
polygons with a common wall never share a pixel, nor leave one between them.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

# Keeps a crossing at exactly a pixel's centre there, whatever the last bit of x / pixel says.
_EPSILON = 1e-9


def burn(
    polygons: NDArray[np.object_],
    origin_xy_m: tuple[float, float],
    pixel_xy_m: tuple[float, float],
    shape_hw: tuple[int, int],
) -> NDArray[np.bool_]:
    """Which pixels have their centre in one of the polygons.

    Args:
        polygons: `(N,)` valid polygons or multipolygons in the ground plane.
        origin_xy_m: upper left corner of the pixels in that plane.
        pixel_xy_m: size of a pixel.
        shape_hw: rows and columns.

    Returns:
        `(H, W)`.
    """
    height, width = shape_hw
    parts = shapely.get_parts(polygons)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    # In pixels from the first centre: row r is crossed where y passes r.
    x = (xy[:, 0] - origin_xy_m[0]) / pixel_xy_m[0] - 0.5
    y = (xy[:, 1] - origin_xy_m[1]) / pixel_xy_m[1] - 0.5
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    x0, x1, y0, y1 = x[edge], x[edge + 1], y[edge], y[edge + 1]
    twice_area = np.bincount(ring[edge], x0 * y1 - x1 * y0, minlength=len(rings))
    shell = np.diff(part, prepend=-1) != 0
    turn = np.where(shell, np.sign(twice_area), -np.sign(twice_area)).astype(np.int8)

    first = np.clip(np.ceil(np.minimum(y0, y1) - _EPSILON), 0, height).astype(np.intp)
    stop = np.clip(np.ceil(np.maximum(y0, y1) - _EPSILON), 0, height).astype(np.intp)
    count = stop - first
    which = np.repeat(np.arange(len(edge)), count)
    row = np.arange(len(which)) - np.repeat(np.cumsum(count) - count - first, count)
    slope = (x1 - x0)[which] / (y1 - y0)[which]
    crossing = x0[which] + (row - y0[which]) * slope
    col = np.clip(np.ceil(crossing - _EPSILON), 0, width).astype(np.intp)
    way = np.where(y1 > y0, -1, 1).astype(np.int8) * turn[ring[edge]]
    # One column more takes what is crossed beyond the right border.
    place = row * (width + 1) + col
    steps = np.zeros(height * (width + 1), np.int16)
    np.add.at(steps, place, way[which])
    winding = steps.reshape(height, width + 1)
    np.cumsum(winding, axis=1, out=winding)
    inside: NDArray[np.bool_] = winding[:, :width] > 0
    return inside
