"""From files to `LabelledScene`: with `labels`, the only modules of the training that know geodata.

A metre is a metre here: the pixels of a web-Mercator image are `cos(latitude)` of their nominal
size, and those of an image in degrees have different sides. Both are measured on the ellipsoid at
the image's centre, and an image whose pixels are not square to 1 % is resampled until they are.
"""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import numpy as np
import pyproj
import rasterio
import rasterio.errors
import rasterio.warp
from numpy.typing import NDArray

from buildext.errors import BandError, NoCrsError, NoValidPixelError, SceneError
from buildext.learn.training.data.dataset_card import ScenePaths
from buildext.learn.training.data.labels import read_labels
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene

SQUARE_TOLERANCE = 0.01


def read_scene(paths: ScenePaths, instances: bool) -> LabelledScene:
    """Read one image and its labels.

    Images of other types than uint8 are scaled by their 1st and 99th percentile over all bands
    and valid pixels; one band is repeated three times; of more than three the first three are
    taken. A pixel with NaN in a band has no data.

    Raises:
        SceneError, NoCrsError, BandError, NoValidPixelError: the image cannot be used.
        LabelError: the labels cannot be used with this image.
    """
    path = paths.image
    try:
        with warnings.catch_warnings():
            # An image without a place in the world gets an error of its own.
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path) as source:
                pixels, valid = _read_pixels(source)
                found = read_labels(paths, source)
                size_m_xy = pixel_size_m(source)
    except rasterio.errors.RasterioIOError as error:
        raise SceneError(f"cannot read {path}: {error}", hint="check the file") from error
    image = _to_uint8(np.moveaxis(pixels, 0, -1), valid)
    image[~valid] = FILL_RGB
    known = np.ones(valid.shape, bool) if found.known is None else found.known
    labels, parts = found.labels, found.roof_parts
    gsd_m = float(np.sqrt(size_m_xy[0] * size_m_xy[1]))
    if max(size_m_xy) / min(size_m_xy) > 1 + SQUARE_TOLERANCE:
        gsd_m = min(size_m_xy)
        image, nearest = _square(image, size_m_xy)
        labels, valid, known = labels[nearest], valid[nearest], known[nearest]
        parts = None if parts is None else parts[nearest]
    return LabelledScene(
        paths.name,
        image,
        labels,
        valid,
        known,
        instances,
        gsd_m,
        found.heights_m,
        found.offsets_m,
        parts,
    )


def _read_pixels(source: rasterio.DatasetReader) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Three bands `(3, H, W)` in the file's type, and where they hold data, bool `(H, W)`."""
    if source.crs is None:
        raise NoCrsError(
            f"got {source.name} without a coordinate reference system",
            hint="assign one, such as with `gdal_edit.py -a_srs`",
        )
    if source.count == 2:
        raise BandError(
            f"got {source.name} with 2 bands; expected 1 or at least 3",
            hint="choose one band or add the missing ones",
        )
    pixels = source.read([1, 1, 1] if source.count == 1 else [1, 2, 3])
    valid = source.dataset_mask() > 0
    if np.issubdtype(pixels.dtype, np.floating):
        valid &= np.isfinite(pixels).all(axis=0)
    if not valid.any():
        raise NoValidPixelError(
            f"got {source.name} without any valid pixel: all of it is nodata, masked or NaN",
            hint="check the file's nodata tag, or take it out of the dataset",
        )
    return pixels, valid


def pixel_size_m(source: rasterio.DatasetReader) -> tuple[float, float]:
    """Width and height of the centre pixel in metres along the ellipsoid, `(x, y)`."""
    columns = np.array([-0.5, 0.5, 0.0, 0.0]) + source.width / 2
    rows = np.array([0.0, 0.0, -0.5, 0.5]) + source.height / 2
    grid = source.transform
    xs = grid.a * columns + grid.b * rows + grid.c
    ys = grid.d * columns + grid.e * rows + grid.f
    lon, lat = rasterio.warp.transform(source.crs, "EPSG:4326", xs, ys)
    geod = pyproj.Geod(ellps="WGS84")
    _, _, width_m = geod.inv(lon[0], lat[0], lon[1], lat[1])
    _, _, height_m = geod.inv(lon[2], lat[2], lon[3], lat[3])
    return float(width_m), float(height_m)


def _to_uint8(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`(H, W, 3)` of any real type to uint8 by one stretch for all bands."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    low, high = np.percentile(pixels[valid], [1.0, 99.0])
    # NaN has no integer; these pixels become fill.
    pixels = np.where(valid[..., None], pixels, pixels.dtype.type(0))
    scaled = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _square(
    image: NDArray[np.uint8], size_m_xy: tuple[float, float]
) -> tuple[NDArray[np.uint8], tuple[NDArray[np.int64], ...]]:
    """The image on square pixels of the finer side's size, and the index of nearest pixels."""
    width_m, height_m = size_m_xy
    gsd_m = min(width_m, height_m)
    height = round(image.shape[0] * height_m / gsd_m)
    width = round(image.shape[1] * width_m / gsd_m)
    rows = np.minimum((np.arange(height) + 0.5) * gsd_m / height_m, image.shape[0] - 1).astype(int)
    cols = np.minimum((np.arange(width) + 0.5) * gsd_m / width_m, image.shape[1] - 1).astype(int)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8), np.ix_(rows, cols)
