"""Placing files on one base plane.

The pixel grid of the first file is the plane's, unless that file is sheared: then it is a north-up
grid at the GSD that the model wants, so that such a file is resampled once and not twice.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds

from buildext.errors import NoCrsError, SceneError
from buildext.grid.window import Window
from buildext.scene.access import GDAL_ERRORS
from buildext.scene.gsd import pixel_size_m, target_gsd_m
from buildext.scene.plane import Placed, Plane

if TYPE_CHECKING:
    from rasterio.crs import CRS

    from buildext.scene.options import SceneOptions
    from buildext.scene.source import Source

log = logging.getLogger(__name__)

# Corners this close to whole pixels count as on the grid: file coordinates are often rounded.
_ON_GRID_PX = 0.01
# Axes further from a right angle than this (its cosine) make a sheared raster.
_SHEAR = 0.01
# From this many file pixels per plane pixel and axis, averaging replaces interpolation.
_AVERAGE_FROM = 2.0


def place(sources: Sequence[Source], options: SceneOptions) -> Plane:
    """Put all files on the grid of the first.

    Raises:
        SceneError: files of several pixel types, or that cannot be placed beside each other.
        NoCrsError: some files have a CRS and some have none.
    """
    first = sources[0]
    for source in sources[1:]:
        _check_alike(first, source)
    try:
        base = first.transform
        if _is_sheared(base):
            base = _north_up(first, options)
        placed = [place_one(source, base, first.crs) for source in sources]
    except GDAL_ERRORS as error:
        raise SceneError(
            f"{first.name}: the files cannot be placed on one grid ({error})",
            hint="check the CRS and the control points of the files",
        ) from error
    windows = [p.window for p in placed]
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    return Plane(
        tuple(Placed(p.source, p.window.shifted(-row, -col), p.resampling) for p in placed),
        height=max(w.row_stop for w in windows) - row,
        width=max(w.col_stop for w in windows) - col,
        transform=base @ Affine.translation(col, row),
        crs=first.crs,
        allow_remote=options.allow_remote,
    )


def _check_alike(first: Source, other: Source) -> None:
    if (other.dtype, other.channels) != (first.dtype, first.channels):
        raise SceneError(
            f"{other.name}: {other.channels} bands of {other.dtype}; expected "
            f"{first.channels} of {first.dtype} as in {first.name}",
            hint="run files of different kinds one by one, or choose --bands",
        )
    if (other.crs is None) != (first.crs is None):
        bare = other if other.crs is None else first
        raise NoCrsError(f"{bare.name}: no CRS or geotransform, while other files have one")
    if first.crs is None and (other.transform or first.transform) == Affine.identity():
        raise SceneError(
            f"{other.name}: several files without a geotransform; expected one",
            hint="run them one by one",
        )


def _is_sheared(transform: Affine) -> bool:
    a, b, d, e = transform.a, transform.b, transform.d, transform.e
    return abs(a * b + d * e) > _SHEAR * math.hypot(a, d) * math.hypot(b, e)


def place_one(source: Source, base: Affine, crs: CRS | None) -> Placed:
    """Put one file on a grid that is given: as it is where its pixels are the grid's, else warped.

    Raises:
        SceneError: the file lies where the CRS of the grid cannot say.
    """
    if source.crs == crs:
        corners = [(0, 0), (source.width, 0), (0, source.height), (source.width, source.height)]
        there = np.array([~base @ (source.transform @ corner) for corner in corners])
        col, row = (round(v) for v in there[0])
        if np.abs(there - np.array(corners) - (col, row)).max() < _ON_GRID_PX:
            return Placed(source, Window(row, col, source.height, source.width), None)
    if crs is None:
        raise SceneError(
            f"{source.name}: off the pixel grid of the first file; expected the same grid",
            hint="without a CRS files are not resampled; run them one by one",
        )
    window = _covered(source, base, crs)
    shrink = math.sqrt(source.height * source.width / window.pixels)
    resampling = Resampling.average if shrink >= _AVERAGE_FROM else Resampling.bilinear
    if source.palette is not None:
        resampling = Resampling.nearest
    log.info("%s is resampled onto the scene's grid (%s)", source.name, resampling.name)
    return Placed(source, window, resampling)


def _covered(source: Source, base: Affine, crs: CRS) -> Window:
    """The window of the base grid that holds the whole file."""
    bounds = array_bounds(source.height, source.width, source.transform)
    if source.crs != crs:
        bounds = transform_bounds(source.crs, crs, *bounds, densify_pts=51)
    west, south, east, north = bounds
    corners = [(west, north), (east, north), (west, south), (east, south)]
    there = np.array([~base @ corner for corner in corners])
    if not np.isfinite(there).all():
        raise SceneError(f"{source.name}: cannot be placed in the CRS of the first file")
    slack = 1e-6
    col, row = (math.floor(v + slack) for v in there.min(axis=0))
    col_stop, row_stop = (math.ceil(v - slack) for v in there.max(axis=0))
    return Window(row, col, max(1, row_stop - row), max(1, col_stop - col))


def _north_up(source: Source, options: SceneOptions) -> Affine:
    """A north-up grid for `source`, square on the ground, at the GSD that the model wants."""
    assert source.crs is not None  # files without a CRS keep their own grid
    west, south, east, north = array_bounds(source.height, source.width, source.transform)
    size_m = pixel_size_m(source.transform, source.crs, source.width / 2, source.height / 2)
    gsd_m = target_gsd_m(size_m, options.gsd_range_m, options.gsd_m)
    unit = Affine(1, 0, west, 0, -1, north)
    unit_m = pixel_size_m(unit, source.crs, (east - west) / 2, (north - south) / 2)
    return unit @ Affine.scale(gsd_m / unit_m[0], gsd_m / unit_m[1])
