"""Heights from a raster: a normalised surface model (nDSM) sampled under each footprint.

The height of a building is the 90th percentile of the pixels whose centres lie in its footprint: a
robust maximum, which a mast or a tree over the eaves does not lift, nor a podium lower. A building
that covers no pixel centre takes the pixel under its centroid; one without valid pixels has no
height.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from buildext.evaluate.masks import open_raster, raster_frame

Floats = NDArray[np.float64]

PERCENTILE = 90.0
_BLOCK_PX = 2048


def sample_heights_m(path: Path, polygons: NDArray[np.object_], crs: pyproj.CRS) -> Floats:
    """Heights of buildings in metres, `(N,)`, NaN where unknown or negative.

    Args:
        path: raster of heights above ground in metres.
        polygons: `(N,)` footprints.
        crs: their CRS.

    Raises:
        InputError: the raster cannot be read or has no CRS.
    """
    frame = raster_frame(path, str(path))
    gx, gy = frame.pixel_xy_m
    placed = shapely.transform(frame.to_plane(polygons, crs), lambda xy: xy / (gx, gy))
    middle = shapely.get_coordinates(shapely.centroid(placed))
    inside = (middle >= 0).all(axis=1) & (middle < (frame.width, frame.height)).all(axis=1)
    heights = np.full(len(polygons), np.nan)
    block = np.where(inside, (middle[:, 1] // _BLOCK_PX) * 1e6 + middle[:, 0] // _BLOCK_PX, -1)
    order = np.argsort(block, kind="stable")
    bounds = np.flatnonzero(np.diff(block[order], prepend=np.nan) != 0)
    with open_raster(path) as raster:
        for some in np.split(order, bounds[1:]) if len(order) else []:
            if inside[some[0]]:
                heights[some] = _of_block(raster, placed[some], middle[some])
    return np.where(heights >= 0, heights, np.nan)


def _of_block(raster, placed: NDArray[np.object_], middle: Floats) -> Floats:  # type: ignore[no-untyped-def]
    """Heights of neighbouring buildings, whose polygons are in pixels of the raster."""
    from rasterio.features import rasterize
    from rasterio.windows import Window as RasterWindow

    west, north, east, south = shapely.total_bounds(placed)
    left, top = max(0, int(west)), max(0, int(north))
    width = min(raster.width, int(np.ceil(east))) - left
    height = min(raster.height, int(np.ceil(south))) - top
    window = RasterWindow(left, top, max(width, 1), max(height, 1))
    values = raster.read(1, window=window, masked=True).astype(np.float64).filled(np.nan)
    number = rasterize(
        zip(placed, np.arange(1, len(placed) + 1), strict=True),
        out_shape=values.shape,
        transform=Affine.translation(left, top),
        dtype=np.int32,
    )
    used = (number > 0) & np.isfinite(values)
    of, found = number[used] - 1, values[used]
    order = np.lexsort((found, of))
    of, found = of[order], found[order]
    count = np.bincount(of, minlength=len(placed))
    cols = np.clip(middle[:, 0].astype(np.intp) - left, 0, values.shape[1] - 1)
    rows = np.clip(middle[:, 1].astype(np.intp) - top, 0, values.shape[0] - 1)
    heights: Floats = np.where(
        np.bincount(number.ravel(), minlength=len(placed) + 1)[1:] == 0, values[rows, cols], np.nan
    )
    there = np.flatnonzero(count)
    first = np.cumsum(count) - count
    # The nearest rank: no value is made up between two that were measured.
    rank = np.ceil(PERCENTILE / 100 * count[there]).astype(np.intp) - 1
    heights[there] = found[first[there] + rank]
    return heights
