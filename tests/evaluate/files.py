"""Small files to evaluate: boxes in metres from an origin in UTM 33 N, y up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from affine import Affine

CRS = "EPSG:32633"
WEST, SOUTH = 500_000.0, 5_000_000.0


def box(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    """A rectangle in metres from the origin."""
    return shapely.box(west, south, east, north)


def place(polygon: shapely.Geometry, crs: str = CRS) -> shapely.Geometry:
    """The polygon where it belongs on the Earth, in any CRS."""
    moved = shapely.transform(polygon, lambda xy: xy + np.array([WEST, SOUTH]))
    to = pyproj.Transformer.from_crs(CRS, crs, always_xy=True)
    return shapely.transform(moved, lambda xy: np.column_stack(to.transform(*xy.T)))


def write_vector(
    path: Path,
    polygons: Sequence[shapely.Geometry],
    *,
    crs: str | None = CRS,
    fields: dict[str, Sequence[object]] | None = None,
    layer: str | None = None,
) -> Path:
    """Write polygons to a file whose format follows from its name."""
    placed = [place(polygon, crs or CRS) for polygon in polygons]
    kinds = {polygon.geom_type for polygon in placed}
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(placed, dtype=object)),
        [np.array(values) for values in (fields or {}).values()],
        list(fields or {}),
        crs=crs,
        geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown",
        layer=layer,
        append=path.exists(),
    )
    return path


def write_mask(
    path: Path,
    values: np.ndarray,
    *,
    pixel_m: float = 1.0,
    crs: str | None = CRS,
    nodata: float | None = None,
) -> Path:
    """Write an array as a raster whose lower left corner is the origin."""
    height, width = values.shape[-2:]
    bands = values if values.ndim == 3 else values[None]
    transform = Affine(pixel_m, 0, WEST, 0, -pixel_m, SOUTH + height * pixel_m)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=len(bands),
        dtype=bands.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as out:
        out.write(bands)
    return path


def blank(path: Path, side: int) -> Path:
    """A raster without content, one metre a pixel, to give the extent."""
    return write_mask(path, np.zeros((side, side), np.uint8))
