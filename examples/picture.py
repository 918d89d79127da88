"""A picture of polygons over an image, drawn in numpy.

A line looks smooth when each pixel takes on as much of its colour as the line covers of that pixel.
The coverage is found by counting: shapes are rasterised `_FINE` times as finely as the picture, and
each little square of `_FINE` × `_FINE` is averaged.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize

from buildext.grid.window import Window

_FINE = 4
_DRIVERS = {".png": {"driver": "PNG", "zlevel": 9}, ".jpg": {"driver": "JPEG", "quality": 88}}

Picture = NDArray[np.uint8]
Polygons = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Pen:
    """How polygons are drawn.

    Attributes:
        colour: red, green and blue, 0 to 255.
        width_px: width of the outline in pixels of the picture.
        fill: how much of the inside takes on the colour, 0 to 1.
    """

    colour: tuple[int, int, int]
    width_px: float
    fill: float = 0.0


def read_image(path: Path, size_px: int, window: Window | None = None) -> tuple[Picture, Affine]:
    """Read an 8-bit RGB image, made smaller by averaging.

    Args:
        path: the raster.
        size_px: longer side of the picture; an image that is smaller stays as it is.
        window: the part to read, in pixels of the file; None reads all.

    Returns:
        Pixels `(H, W, 3)` and the transform from pixels of the picture to the image's CRS.
    """
    with rasterio.open(path) as dataset:
        part = window or Window(0, 0, dataset.height, dataset.width)
        shrink = max(part.height / size_px, part.width / size_px, 1.0)
        height, width = round(part.height / shrink), round(part.width / shrink)
        pixels = dataset.read(
            [1, 2, 3],
            window=rasterio.windows.Window(part.col, part.row, part.width, part.height),
            out_shape=(3, height, width),
            resampling=Resampling.average,
        )
        transform = (
            dataset.transform
            @ Affine.translation(part.col, part.row)
            @ Affine.scale(part.width / width, part.height / height)
        )
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), transform


def read_polygons(path: Path, transform: Affine) -> Polygons:
    """The polygons of a file's first layer, in the image's CRS, in pixels of the picture."""
    _, _, wkb, _ = pyogrio.raw.read(path, layer=0, columns=[])
    a, b, c, d, e, f, *_ = ~transform

    def to_pixels(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        pixels: NDArray[np.float64] = xy @ np.array([[a, d], [b, e]]) + (c, f)
        return pixels

    polygons: Polygons = shapely.transform(shapely.from_wkb(wkb), to_pixels)
    return polygons


def draw(picture: Picture, polygons: Polygons, pen: Pen) -> Picture:
    """Draw polygons onto a picture `(H, W, 3)`; the result is a new one."""
    shape = picture.shape[:2]
    lines = shapely.buffer(shapely.boundary(polygons), pen.width_px / 2, join_style="mitre")
    line = coverage(lines, shape)
    inside = np.maximum(pen.fill * coverage(polygons, shape), line)[..., None]
    blended: Picture = np.rint(picture + inside * (np.array(pen.colour) - picture)).astype(np.uint8)
    return blended


def coverage(polygons: Polygons, shape_hw: Sequence[int]) -> NDArray[np.float64]:
    """The share `(H, W)`, 0 to 1, of each pixel that polygons (in pixels) cover."""
    height, width = shape_hw
    shapes = [(polygon, 1) for polygon in polygons if not polygon.is_empty]
    if not shapes:
        return np.zeros((height, width))
    fine = rasterize(
        shapes,
        out_shape=(height * _FINE, width * _FINE),
        transform=Affine.scale(1 / _FINE),
        dtype="uint8",
    )
    share: NDArray[np.float64] = fine.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))
    return share


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture `(H, W, 3)` as .png or .jpg."""
    height, width, bands = picture.shape
    options = _DRIVERS[path.suffix]
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        # A picture has no place on Earth, and need not say so.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", height=height, width=width, count=bands, dtype="uint8", **options
        ) as dataset:
            dataset.write(np.moveaxis(picture, -1, 0))
