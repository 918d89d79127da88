"""Vertices: the corners of many polygons in one array.

A ring's closing point repeats its first and is no corner; it is left out. Corners of holes count
as those of the shell do, and a multipolygon has the corners of all its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Vertices:
    """Corners of `n` polygons.

    Attributes:
        xy: `(V, 2)` float64.
        polygon: `(V,)` index of the polygon, ascending.
        count: `(n,)` corners of each polygon.
    """

    xy: NDArray[np.float64]
    polygon: NDArray[np.intp]
    count: NDArray[np.intp]


def vertices_of(polygons: NDArray[np.object_]) -> Vertices:
    """The corners of polygons or multipolygons, `(n,)`."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    corner = np.diff(ring, append=-1) == 0
    polygon = owner[part[ring[corner]]]
    return Vertices(xy[corner], polygon, np.bincount(polygon, minlength=len(polygons)))
