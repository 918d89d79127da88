"""The ground plane: a projected CRS in which coordinates are metres.

Angles and heights turn into lengths on the ground, so everything in this room is computed where a
unit of the coordinates is a metre: in the layer's own CRS where that is true to scale, else
(degrees, web Mercator, feet) in the UTM zone of its middle.
"""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError

# UTM departs from true length by at most 0.1 % inside its zone, national grids by less.
_FAITHFUL_WITHIN = 0.005


def ground_crs(crs: pyproj.CRS, bounds: tuple[float, float, float, float]) -> pyproj.CRS:
    """The CRS to compute in for a layer with these bounds (west, south, east, north).

    Raises:
        InputError: the bounds lie outside the area of the CRS.
    """
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    west, south, east, north = bounds
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform((west + east) / 2, (south + north) / 2)
    if not np.isfinite((lon, lat)).all():
        raise InputError(
            f"got coordinates outside the area of {crs.name}",
            hint="check that the layer's CRS is the one its coordinates are in",
        )
    if crs.is_projected and crs.axis_info[0].unit_conversion_factor == 1.0:
        scale = pyproj.Proj(crs).get_factors(lon, lat)
        if max(abs(scale.meridional_scale - 1), abs(scale.parallel_scale - 1)) < _FAITHFUL_WITHIN:
            return crs
    zone = min(60, int((lon + 180) // 6) + 1)
    return pyproj.CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


def project(
    geometries: NDArray[np.object_], source: pyproj.CRS, target: pyproj.CRS
) -> NDArray[np.object_]:
    """Geometries `(n,)` of one CRS in another, vertex by vertex."""
    if source == target or len(geometries) == 0:
        return geometries
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    projected: NDArray[np.object_] = shapely.transform(
        geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )
    if not np.isfinite(shapely.total_bounds(projected)).all():
        raise InputError(
            f"got coordinates that {source.name} cannot bring to {target.name}",
            hint="check that the layer's CRS is the one its coordinates are in",
        )
    return projected
