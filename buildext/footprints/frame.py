"""The frame of a scene: how its model grid lies in the world.

Footprints are found on the *grid plane*: x counts model pixels to the right, y downwards, and
integers are pixel corners. A frame carries them over to the scene's coordinate reference system
(CRS), where x is easting or longitude and y northing or latitude whatever order the CRS itself
declares: the order in which GIS files store coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from affine import Affine

Polygons = npt.NDArray[np.object_]
"""Array `(n,)` of shapely polygons."""


def as_pyproj(crs: Any) -> pyproj.CRS:
    """The pyproj CRS for a CRS of rasterio, pyproj, or a text such as "EPSG:25833"."""
    if isinstance(crs, pyproj.CRS | str):
        return pyproj.CRS(crs)
    authority = crs.to_authority()
    if authority:
        return pyproj.CRS.from_authority(*authority)
    return pyproj.CRS.from_wkt(crs.to_wkt(version="WKT2_2019"))


@dataclass(frozen=True, slots=True)
class GridFrame:
    """Where a model grid lies.

    Attributes:
        transform: grid plane in pixels → CRS.
        crs: CRS of rasterio or pyproj; None where the scene has none and pixels are the units.
        gsd_m: metres per model pixel, the only scale there is without a CRS.
    """

    transform: Affine
    crs: Any
    gsd_m: float

    def to_crs(self, polygons_px: Polygons) -> Polygons:
        """Carry polygons from the grid plane over to the CRS.

        Args:
            polygons_px: `(n,)` polygons in pixels.

        Returns:
            `(n,)` polygons; exterior rings run counter-clockwise, holes clockwise.
        """
        a, b, c, d, e, f = self.transform[:6]

        def carry(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            x, y = xy.T
            return np.column_stack((a * x + b * y + c, d * x + e * y + f))

        moved = shapely.transform(polygons_px, carry)
        oriented: Polygons = shapely.orient_polygons(moved)
        return oriented
