"""The world: all that stands in a scene, made square by square when a view looks there.

The ground is divided into squares of 256 m. A square holds the tiers whose middles lie in it and
the trees and cars of its ground; it is made when it is first seen, from streams of random numbers
of its own and its buildings', and forgotten when others are needed. So memory does not grow with
the scene, and a square is the same whenever it is made.

What a view sees in a window are faces of all squares that may reach into it: the box over a square,
as high as its highest building, is projected and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.simulate.buildings import building_solids
from buildext.simulate.city import City
from buildext.simulate.faces import Faces
from buildext.simulate.furniture import SQUARE_M, furniture
from buildext.simulate.kept import Kept
from buildext.simulate.noise import Noise
from buildext.simulate.plan import Plan
from buildext.simulate.solids import Looks, join, join_looks
from buildext.simulate.view import Depth, View
from buildext.simulate.zbuffer import SeenFaces

Floats = NDArray[np.float64]

# Crowns reach this high and this far beyond their square.
_TREE_M = 14.0
_REACH_M = 8.0
# What stands on a roof is no higher.
_CLUTTER_M = 3.0
# As many as reach into a few rows of tiles of a panel: with fewer each is made twice.
_KEPT_SQUARES = 120


@dataclass(frozen=True, slots=True)
class Seen:
    """Faces that may fall into a window.

    Attributes:
        faces: their edges and depths in the image.
        planes: `(f, 4)` their planes.
        wall: `(f,)`.
        solid: `(f,)` index into `looks`.
        looks: of the solids.
    """

    faces: SeenFaces
    planes: Floats
    wall: NDArray[np.bool_]
    solid: NDArray[np.int64]
    looks: Looks


@dataclass(frozen=True, slots=True)
class _Square:
    looks: Looks
    faces: Faces


@dataclass(frozen=True, slots=True)
class _Sight:
    """A square as a view sees it."""

    faces: SeenFaces
    number: NDArray[np.int64]
    bounds: Floats


class World:
    """The scene's content.

    Args:
        city: the buildings.
        outlines: `(n,)` outlines of the tiers in the plane.
        gsd_m: metres per pixel.
        seed: of everything random.
    """

    def __init__(self, city: City, outlines: NDArray[np.object_], gsd_m: float, seed: int) -> None:
        self._city, self._outlines = city, outlines
        self._gsd_m, self._seed = gsd_m, seed
        self._noise = Noise(seed + 7)
        self.plan = Plan(outlines, gsd_m, seed)
        self._side_px = SQUARE_M / gsd_m
        middle = shapely.get_coordinates(shapely.centroid(outlines))
        cell = np.floor(middle[:, ::-1] / self._side_px).astype(np.int64)
        order = np.lexsort((np.arange(len(cell)), cell[:, 1], cell[:, 0]))
        cells, first = np.unique(cell[order], axis=0, return_index=True)
        groups = np.split(order, first[1:])
        self._rows = {(int(i), int(j)): group for (i, j), group in zip(cells, groups, strict=True)}
        self._low, self._high = cells.min(axis=0) - 1, cells.max(axis=0) + 1
        self._boxes = self._square_boxes()
        self._square = Kept(self._make, _KEPT_SQUARES)
        self._sight = Kept(self._look, 2 * _KEPT_SQUARES)

    def seen(self, view: View, window: Window) -> Seen:
        """The faces that a view may see in a window; none is missing."""
        squares = self._reaching(view, window)
        return _merge([(self._square(i, j), self._sight(view, i, j)) for i, j in squares], window)

    def _square_boxes(self) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Row and column of each square `(q, 2)`, ground bounds of its content, its height."""
        low, high = self._low, self._high
        i, j = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1]
        squares = np.column_stack([i.ravel(), j.ravel()])
        reach = _REACH_M / self._gsd_m
        corner = squares[:, ::-1] * self._side_px
        boxes = np.column_stack([corner - reach, corner + self._side_px + reach])
        top_m = np.full(len(squares), _TREE_M)
        bounds = shapely.bounds(self._outlines)
        for (row, col), tiers in self._rows.items():
            k = (row - low[0]) * (high[1] - low[1] + 1) + (col - low[1])
            boxes[k, :2] = np.minimum(boxes[k, :2], bounds[tiers, :2].min(axis=0))
            boxes[k, 2:] = np.maximum(boxes[k, 2:], bounds[tiers, 2:].max(axis=0))
            top_m[k] = max(top_m[k], float(self._city.top_m[tiers].max()) + _CLUTTER_M)
        return squares, boxes, top_m

    def _reaching(self, view: View, window: Window) -> list[tuple[int, int]]:
        """Squares whose content may fall into the window, in order."""
        squares, boxes, top_m = self._boxes
        x, y = boxes[:, [0, 2, 0, 2]], boxes[:, [1, 1, 3, 3]]
        upper_x, upper_y = view.to_image(x, y, top_m[:, None])
        x, y = np.hstack([x, upper_x]), np.hstack([y, upper_y])
        hit = (x.min(axis=1) < window.col_stop) & (x.max(axis=1) > window.col)
        hit &= (y.min(axis=1) < window.row_stop) & (y.max(axis=1) > window.row)
        # Where nothing reaches, any square will do: all of its faces are left out later.
        chosen = squares[hit] if hit.any() else squares[:1]
        return [(int(i), int(j)) for i, j in chosen]

    def _make(self, i: int, j: int) -> _Square:
        fields = self.plan.read(i * SQUARE_M, j * SQUARE_M, SQUARE_M, SQUARE_M)
        batches = furniture(fields, i, j, self._gsd_m, self._seed, self._noise)
        rows = self._rows.get((i, j))
        if rows is not None:
            batches.append(
                building_solids(self._city, self._outlines, rows, self._gsd_m, self._seed)
            )
        solids = join(batches)
        return _Square(solids.looks, solids.faces())

    def _look(self, view: View, i: int, j: int) -> _Sight:
        return _Sight(*self._square(i, j).faces.seen(view))


def _merge(parts: Sequence[tuple[_Square, _Sight]], window: Window) -> Seen:
    """One batch of the faces whose bounds meet the window."""
    edges, edge_face, numerator, denominator, planes, wall, solid = ([] for _ in range(7))
    faces = solids = 0
    for square, sight in parts:
        west, north, east, south = sight.bounds.T
        hit = (west < window.col_stop) & (east > window.col)
        hit &= (north < window.row_stop) & (south > window.row)
        kept = hit[sight.faces.edge_face]
        number = np.cumsum(hit) - 1 + faces
        edges.append(sight.faces.edges[kept])
        edge_face.append(number[sight.faces.edge_face[kept]])
        numerator.append(sight.faces.depth.numerator[hit])
        if sight.faces.depth.denominator is not None:
            denominator.append(sight.faces.depth.denominator[hit])
        original = sight.number[hit]
        planes.append(square.faces.planes[original])
        wall.append(square.faces.wall[original])
        solid.append(square.faces.solid[original] + solids)
        faces += int(hit.sum())
        solids += len(square.looks)
    depth = Depth(
        np.concatenate(numerator),
        np.concatenate(denominator) if denominator else None,
        np.ones(faces, bool),
    )
    return Seen(
        faces=SeenFaces(
            np.concatenate(edges),
            np.concatenate(edge_face),
            depth,
        ),
        planes=np.concatenate(planes),
        wall=np.concatenate(wall),
        solid=np.concatenate(solid),
        looks=join_looks([square.looks for square, _ in parts]),
    )
