"""Faces: the plane polygons that solids are bounded by.

A solid is a prism over a polygon, closed by one or more plane roof pieces. Its faces are these
pieces and, under each edge on the polygon's outline, a wall from the base to the piece's edge. Only
what can be seen from above is made: no floors.

Faces of many solids are kept in flat arrays. Coordinates are those of the plane of `view`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.simulate.view import View
from buildext.simulate.zbuffer import SeenFaces

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Polygons = NDArray[np.object_]

_ON_OUTLINE_PX = 1e-5


@dataclass(frozen=True, slots=True)
class Pieces:
    """Roof pieces of solids: polygon i lies in z = slope_x · x + slope_y · y + offset.

    Attributes:
        polygons: `(n,)` polygons without parts, exterior rings counter-clockwise.
        solid: `(n,)` which solid a piece belongs to.
        slope_xy: `(n, 2)` metres per pixel.
        offset_m: `(n,)`.
        walled: `(n,)` whether walls stand under the piece's outline.
        split: `(n,)` whether the piece shares edges with another of its solid; such an edge has
            no wall.
    """

    polygons: Polygons
    solid: Integers
    slope_xy: Floats
    offset_m: Floats
    walled: NDArray[np.bool_]
    split: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces in flat arrays.

    Attributes:
        starts: `(e, 3)` x, y, z of where edges start.
        stops: `(e, 3)` where they stop.
        edge_face: `(e,)` which face, ascending.
        planes: `(f, 4)` nx, ny, m, c of the plane n·X + m·z = c; (nx, ny) of a wall has length 1.
        solid: `(f,)` which solid.
        wall: `(f,)` wall or roof.
    """

    starts: Floats
    stops: Floats
    edge_face: Integers
    planes: Floats
    solid: Integers
    wall: NDArray[np.bool_]

    def seen(self, view: View) -> tuple[SeenFaces, Integers, Floats]:
        """The faces whose outer side a view sees.

        Returns:
            The faces, the number of each in these arrays, and `(n, 4)` their bounds in the image:
            west, north, east, south in pixels.
        """
        depth = view.depth(self.planes)
        shown = np.flatnonzero(depth.front)
        number = np.full(len(self.planes), -1)
        number[shown] = np.arange(len(shown))
        kept = depth.front[self.edge_face]
        edge_face = number[self.edge_face[kept]]
        first = view.to_image(*self.starts[kept].T)
        last = view.to_image(*self.stops[kept].T)
        edges = np.column_stack([*first, *last])
        # A face without edges lies nowhere.
        bounds = np.tile((np.inf, np.inf, -np.inf, -np.inf), (len(shown), 1))
        begin = np.flatnonzero(np.diff(edge_face, prepend=-1))
        if len(begin):
            # Rings are closed, so the starts of the edges are all the corners.
            for k, reduce in enumerate((np.minimum, np.minimum, np.maximum, np.maximum)):
                bounds[edge_face[begin], k] = reduce.reduceat(edges[:, k % 2], begin)
        denominator = None if depth.denominator is None else depth.denominator[shown]
        part = type(depth)(depth.numerator[shown], denominator, depth.front[shown])
        return SeenFaces(edges, edge_face, part), shown, bounds


def build_faces(pieces: Pieces, outlines: Polygons, base_m: Floats) -> Faces:
    """Make the faces of solids.

    Args:
        pieces: roof pieces.
        outlines: `(s,)` outlines of the solids.
        base_m: `(s,)` heights of their lower ends.
    """
    a, b, piece = _edges(pieces.polygons)
    slope, offset = pieces.slope_xy[piece], pieces.offset_m[piece]
    za = (slope * a).sum(axis=1) + offset
    zb = (slope * b).sum(axis=1) + offset
    roofs = len(pieces.polygons)
    roof_planes = np.column_stack([-pieces.slope_xy, np.ones(roofs), pieces.offset_m])

    solid = pieces.solid[piece]
    walled = pieces.walled[piece] & ((za > base_m[solid]) | (zb > base_m[solid]))
    doubtful = np.flatnonzero(walled & pieces.split[piece])
    middle = shapely.points((a[doubtful] + b[doubtful]) / 2)
    inside = shapely.distance(middle, shapely.boundary(outlines)[solid[doubtful]])
    walled[doubtful[inside > _ON_OUTLINE_PX]] = False
    wa, wb, wza, wzb, wsolid = a[walled], b[walled], za[walled], zb[walled], solid[walled]
    along = wb - wa
    normal = np.column_stack([along[:, 1], -along[:, 0]]) / np.hypot(*along.T)[:, None]
    walls = len(wa)
    wall_planes = np.column_stack([normal, np.zeros(walls), (normal * wa).sum(axis=1)])
    low = base_m[wsolid]
    corners = np.stack(
        [
            np.column_stack([wa, low]),
            np.column_stack([wb, low]),
            np.column_stack([wb, wzb]),
            np.column_stack([wa, wza]),
        ],
        axis=1,
    )
    wall_starts = corners.reshape(-1, 3)
    wall_stops = np.roll(corners, -1, axis=1).reshape(-1, 3)
    # Walls first: where a wall and a roof tie, the greater number, the roof, is seen.
    return Faces(
        starts=np.concatenate([wall_starts, np.column_stack([a, za])]),
        stops=np.concatenate([wall_stops, np.column_stack([b, zb])]),
        edge_face=np.concatenate([np.repeat(np.arange(walls), 4), walls + piece]),
        planes=np.concatenate([wall_planes, roof_planes]),
        solid=np.concatenate([wsolid, pieces.solid]),
        wall=np.arange(walls + roofs) < walls,
    )


def _edges(polygons: Polygons) -> tuple[Floats, Floats, Integers]:
    """Start, stop `(e, 2)` and polygon `(e,)` of all edges of positive length."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = (ring[1:] == ring[:-1]) & (xy[1:] != xy[:-1]).any(axis=1)
    return xy[:-1][same], xy[1:][same], owner[ring[:-1][same]]
