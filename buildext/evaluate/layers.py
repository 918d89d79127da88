"""Layers: predictions and references as the scorers see them.

A layer answers two questions in the frame's ground plane, whether it came from polygons or from a
mask: which pixels of a window are building (`read`), and which objects are there (`objects`).
Polygons become pixels by the half-open pixel-centre rule; a mask becomes objects by its connected
components (4 neighbours). Nothing larger than a window is ever held as an array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.burn import burn
from buildext.evaluate.frame import Frame
from buildext.grid.window import Window


class Layer(Protocol):
    """Buildings in a frame, as pixels and as objects."""

    objects: NDArray[np.object_]

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window inside the frame are building, `(h, w)`."""


class PolygonLayer:
    """A layer of polygons.

    Args:
        frame: the frame in whose ground plane the polygons lie.
        objects: `(N,)` valid polygons or multipolygons.
        classes: `(N,)` uint8 class of each object for `read_classes`; where objects overlap, the
            higher class wins, so the order of rows does not matter.
    """

    def __init__(
        self,
        frame: Frame,
        objects: NDArray[np.object_],
        classes: NDArray[np.uint8] | None = None,
    ) -> None:
        self.frame = frame
        self.objects = objects
        self.classes = np.zeros(len(objects), np.uint8) if classes is None else classes
        self.tree = shapely.STRtree(objects)

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window have their centre in a polygon, `(h, w)`."""
        return self._burn(self.objects[self.tree.query(self.frame.window_box(window))], window)

    def read_classes(self, window: Window) -> NDArray[np.uint8]:
        """1 + the class of the building at each pixel, 0 where there is none, `(h, w)`."""
        hits = self.tree.query(self.frame.window_box(window))
        out = np.zeros((window.height, window.width), np.uint8)
        for number in np.unique(self.classes[hits]):
            of_class = self.objects[hits[self.classes[hits] == number]]
            out[self._burn(of_class, window)] = number + 1
        return out

    def _burn(self, polygons: NDArray[np.object_], window: Window) -> NDArray[np.bool_]:
        gx, gy = self.frame.pixel_xy_m
        corner = (window.col * gx, window.row * gy)
        return burn(polygons, corner, (gx, gy), (window.height, window.width))


@dataclass(frozen=True, slots=True)
class Repair:
    """What had to be done to the polygons of a layer.

    Attributes:
        read: polygons in the file.
        repaired: invalid ones that were made valid.
        dropped: those of which no area was left.
        outside: those outside the scored extent.
        cut: those cut by the extent with less than half of their area inside.
    """

    read: int
    repaired: int
    dropped: int
    outside: int
    cut: int


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of a layer inside the scored region, in an order free of the file's rows.

    Attributes:
        polygons: `(N,)` geometries in the ground plane, clipped to the region.
        mostly_outside: `(N,)` true where less than half of the object lies in the region.
        index: `(N,)` row of each object in the array it came from.
        repair: what happened on the way.
    """

    polygons: NDArray[np.object_]
    mostly_outside: NDArray[np.bool_]
    index: NDArray[np.intp]
    repair: Repair


def prepare_objects(
    geometries: NDArray[np.object_],
    region: shapely.Geometry,
    heights_m: NDArray[np.float64] | None = None,
) -> Objects:
    """Repair polygons, clip them to the scored region and put them into a canonical order.

    Args:
        geometries: `(N,)` polygons in the ground plane, as read.
        region: what is scored, in the ground plane.
        heights_m: `(N,)`, tells polygons apart that are equal in shape and place.
    """
    polygons = geometries.copy()
    invalid = np.flatnonzero(~shapely.is_valid(polygons))
    polygons[invalid] = shapely.make_valid(polygons[invalid])
    solid = _polygonal(polygons)
    dropped = shapely.area(solid) == 0
    shapely.prepare(region)
    whole = shapely.contains_properly(region, solid) | shapely.covered_by(solid, region)
    clipped = solid.copy()
    clipped[~whole] = _polygonal(shapely.intersection(solid[~whole], region))
    area = shapely.area(clipped)
    kept = np.flatnonzero(area > 0)
    mostly_outside = area[kept] < 0.5 * shapely.area(solid[kept])
    order = _canonical_order(clipped[kept], None if heights_m is None else heights_m[kept])
    return Objects(
        polygons=clipped[kept][order],
        mostly_outside=mostly_outside[order],
        index=kept[order],
        repair=Repair(
            read=len(geometries),
            repaired=len(invalid),
            dropped=int(dropped.sum()),
            outside=int(((area == 0) & ~dropped).sum()),
            cut=int(mostly_outside.sum()),
        ),
    )


def _polygonal(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """The geometries with their points and lines taken out; an empty polygon where none is left."""
    out = geometries.copy()
    for i in np.flatnonzero(shapely.get_type_id(out) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(shapely.get_parts(out[i]))
        out[i] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    out[shapely.get_dimensions(out) < 2] = shapely.Polygon()
    return out


def _canonical_order(
    polygons: NDArray[np.object_], heights_m: NDArray[np.float64] | None
) -> NDArray[np.intp]:
    """An order that depends on the buildings alone: by bounds, area and height."""
    west, south, east, north = shapely.bounds(polygons).T
    heights = np.zeros(len(polygons)) if heights_m is None else heights_m
    return np.lexsort((heights, shapely.area(polygons), east, north, west, south))


def windows_of(frame: Frame, tile_px: int, side_px: int = 2048) -> Iterator[Window]:
    """Windows that partition a frame, row-major, each made of whole tiles."""
    step = tile_px * max(1, side_px // tile_px)
    for row in range(0, frame.height, step):
        for col in range(0, frame.width, step):
            yield Window(row, col, min(step, frame.height - row), min(step, frame.width - col))
