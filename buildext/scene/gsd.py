"""Ground sampling distance: how many metres on the ground one pixel spans.

The pixel size in a file is in units of its CRS, which are metres on the ground only where the map
is true to scale. In web Mercator (EPSG:3857) they are too long by 1 / cos(latitude), in a
geographic CRS they are degrees, of which those of longitude shrink with the latitude. So a step of
one pixel is taken to longitude and latitude and measured there on the ellipsoid.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from buildext.errors import NoCrsError

if TYPE_CHECKING:
    import rasterio.crs
    from affine import Affine

# Pixels count as square, and a GSD as equal to another, within this.
TOLERANCE = 0.01


@lru_cache(maxsize=32)
def _geodesy(wkt: str) -> tuple[CRS, Transformer | None]:
    crs = CRS.from_wkt(wkt)
    if crs.geodetic_crs is None:
        return crs, None
    # To the CRS' own ellipsoid: no datum shift, hence no grids to look for.
    return crs, Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)


def pixel_size_m(
    transform: Affine, crs: rasterio.crs.CRS, col: float, row: float
) -> tuple[float, float]:
    """True width and height of the pixel at (`col`, `row`), in metres.

    Raises:
        NoCrsError: the CRS cannot say where on Earth, or how long, a pixel is.
    """
    projection, to_lonlat = _geodesy(crs.to_wkt())
    sizes = []
    for dcol, drow in ((0.5, 0.0), (0.0, 0.5)):
        x0, y0 = transform @ (col - dcol, row - drow)
        x1, y1 = transform @ (col + dcol, row + drow)
        if to_lonlat is None:
            # An engineering CRS: plane coordinates in some unit of length.
            sizes.append(
                math.hypot(x1 - x0, y1 - y0) * projection.axis_info[0].unit_conversion_factor
            )
            continue
        try:
            lon0, lat0 = to_lonlat.transform(x0, y0, errcheck=True)
            lon1, lat1 = to_lonlat.transform(x1, y1, errcheck=True)
            geod = projection.get_geod()
            assert geod is not None  # a geodetic CRS has an ellipsoid
            sizes.append(float(geod.inv(lon0, lat0, lon1, lat1)[2]))
        except ProjError as error:
            raise _off_earth(crs) from error
    if not all(math.isfinite(s) and s > 0 for s in sizes):
        raise _off_earth(crs)
    return sizes[0], sizes[1]


def is_square(size_m: tuple[float, float]) -> bool:
    """Whether a pixel of this width and height counts as square."""
    return abs(size_m[0] / size_m[1] - 1) <= TOLERANCE


def target_gsd_m(
    size_m: tuple[float, float], range_m: tuple[float, float], forced_m: float | None
) -> float:
    """The GSD at which the model should see pixels of `size_m`.

    It is the native one where the model knows it (within 1 %), else the nearest that it knows.
    """
    native_m = math.sqrt(size_m[0] * size_m[1])
    wanted_m = forced_m if forced_m is not None else min(max(native_m, range_m[0]), range_m[1])
    return native_m if abs(wanted_m / native_m - 1) <= TOLERANCE else wanted_m


def _off_earth(crs: rasterio.crs.CRS) -> NoCrsError:
    return NoCrsError(
        f"the scene lies outside the area of its CRS ({crs.to_string()[:60]})",
        hint="check the CRS and the geotransform of the file",
    )
