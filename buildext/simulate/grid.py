"""The image grid: how the plane of pixels lies in the CRS.

North is up, pixels are square and start at whole multiples of the GSD, so that scenes of the same
place fit onto each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from buildext.errors import UsageError
from buildext.grid.window import Window

Polygons = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """A north-up grid in a projected CRS of metres.

    Attributes:
        crs: the CRS.
        west: easting of the left edge.
        north: northing of the upper edge.
        gsd_m: metres per pixel.
        width: columns.
        height: rows.
    """

    crs: pyproj.CRS
    west: float
    north: float
    gsd_m: float
    width: int
    height: int

    @classmethod
    def over(
        cls, crs: pyproj.CRS, bounds: tuple[float, float, float, float], gsd_m: float
    ) -> ImageGrid:
        """The grid over west, south, east, north.

        Raises:
            UsageError: the GSD is not positive, or the bounds are empty.
        """
        if not 0.02 <= gsd_m <= 10:
            raise UsageError(f"got a GSD of {gsd_m:g} m; expected 0.02 to 10 m")
        west, south, east, north = bounds
        if not (west < east and south < north):
            raise UsageError(
                f"got the extent {west:g}, {south:g}, {east:g}, {north:g}; "
                "expected west < east and south < north"
            )
        # A hair inwards: an extent on the grid's lines stays as it is.
        first_col, first_row = math.floor(west / gsd_m + 1e-6), math.ceil(north / gsd_m - 1e-6)
        width = math.ceil(east / gsd_m - 1e-6) - first_col
        height = first_row - math.floor(south / gsd_m + 1e-6)
        return cls(crs, first_col * gsd_m, first_row * gsd_m, gsd_m, width, height)

    @property
    def transform(self) -> Affine:
        """(column, row) → (easting, northing)."""
        return Affine(self.gsd_m, 0, self.west, 0, -self.gsd_m, self.north)

    @property
    def window(self) -> Window:
        """The whole image."""
        return Window(0, 0, self.height, self.width)

    def to_plane(self, polygons: Polygons) -> Polygons:
        """Polygons of the CRS in pixels; exterior rings counter-clockwise as numbers go."""
        moved = shapely.transform(
            polygons,
            lambda xy: np.column_stack([xy[:, 0] - self.west, self.north - xy[:, 1]]) / self.gsd_m,
        )
        oriented: Polygons = shapely.orient_polygons(moved)
        return oriented

    def to_crs(self, polygons: Polygons) -> Polygons:
        """Polygons of the plane in the CRS."""
        moved = shapely.transform(
            polygons,
            lambda xy: np.column_stack(
                [self.west + xy[:, 0] * self.gsd_m, self.north - xy[:, 1] * self.gsd_m]
            ),
        )
        oriented: Polygons = shapely.orient_polygons(moved)
        return oriented


def windows_over(whole: Window, side_px: int) -> list[Window]:
    """Squares that cover a window row by row, cut off at its end."""
    return [
        shared
        for row in range(whole.row, whole.row_stop, side_px)
        for col in range(whole.col, whole.col_stop, side_px)
        if (shared := Window(row, col, side_px, side_px).intersection(whole)) is not None
    ]
