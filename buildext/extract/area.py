"""The area of interest: polygons, or a box, outside which nothing is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from buildext.errors import InputError, MissingInputError, NoCrsError, UsageError
from buildext.footprints.frame import as_pyproj


@dataclass(frozen=True, slots=True)
class Area:
    """Polygons in a CRS; `crs` None means the scene's own."""

    polygons: npt.NDArray[np.object_]
    crs: Any

    def in_crs(self, crs: Any) -> npt.NDArray[np.object_]:
        """The polygons in a scene's CRS.

        Raises:
            NoCrsError: the scene has no CRS and the area has one.
        """
        if self.crs is None:
            return self.polygons
        if crs is None:
            raise NoCrsError(
                "got an area of interest with a CRS for a scene without one",
                hint="give the area as a box in pixels: --aoi xmin,ymin,xmax,ymax",
            )
        transformer = pyproj.Transformer.from_crs(
            as_pyproj(self.crs), as_pyproj(crs), always_xy=True
        )

        def carry(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))

        # Long straight edges bend under reprojection: enough vertices keep them in place.
        length = float(np.max(shapely.length(self.polygons)))
        dense = shapely.segmentize(self.polygons, length / 100)
        carried: npt.NDArray[np.object_] = shapely.transform(dense, carry)
        return carried


def read_area(text: str) -> Area:
    """Read an area of interest.

    Args:
        text: `xmin,ymin,xmax,ymax` in the scene's CRS, or the path of a polygon layer.

    Raises:
        UsageError: a box with minima above its maxima.
        MissingInputError: no such file.
        InputError: the layer cannot be read or holds no polygon.
    """
    numbers = text.split(",")
    if len(numbers) == 4:
        try:
            xmin, ymin, xmax, ymax = (float(number) for number in numbers)
        except ValueError:
            pass
        else:
            if not (xmin < xmax and ymin < ymax):
                raise UsageError(
                    f"got the box {text}; expected xmin,ymin,xmax,ymax with rising values"
                )
            return Area(np.array([shapely.box(xmin, ymin, xmax, ymax)]), None)
    if not Path(text).exists():
        raise MissingInputError(
            f"the area of interest {text} does not exist",
            hint="give a polygon layer or xmin,ymin,xmax,ymax",
        )
    import pyogrio.errors

    try:
        meta, _, geometry, _ = pyogrio.raw.read(text, columns=[])
    except pyogrio.errors.DataSourceError as error:
        raise InputError(
            f"the area of interest {text} cannot be read as a vector layer",
            hint="give a GeoPackage, GeoJSON, Shapefile or another polygon layer",
        ) from error
    polygons = shapely.from_wkb(geometry)
    kinds = shapely.get_type_id(polygons)
    polygons = polygons[np.isin(kinds, (3, 6)) & ~shapely.is_empty(polygons)]
    if not len(polygons):
        raise InputError(
            f"the area of interest {text} holds no polygon", hint="give a layer of polygons"
        )
    return Area(shapely.force_2d(polygons), meta["crs"])
