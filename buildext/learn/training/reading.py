"""From files to `LabelledScene`: the only module of the training that knows geodata.

A metre is a metre here: the pixels of a web-Mercator image are `cos(latitude)` of their nominal
size, and those of an image in degrees have different sides. Both are measured on the ellipsoid at
the image's centre, and an image whose pixels are not square to 1 % is resampled until they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyogrio
import pyproj
import rasterio
import rasterio.features
import rasterio.warp
import shapely
from numpy.typing import NDArray

from buildext.errors import BandError, LabelError, NoCrsError, SceneError
from buildext.learn.training.scenes import FILL_RGB, LabelledScene

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jp2")
SQUARE_TOLERANCE = 0.01


def read_scene(name: str, image_path: Path, labels_path: Path, instances: bool) -> LabelledScene:
    """Read one image and its labels.

    Images of other types than uint8 are scaled by their 1st and 99th percentile over all bands
    and valid pixels; one band is repeated three times; of more than three the first three are
    taken.

    Raises:
        SceneError, NoCrsError, BandError: the image cannot be used.
        LabelError: the labels cannot be used with this image.
    """
    try:
        with rasterio.open(image_path) as source:
            if source.crs is None:
                raise NoCrsError(
                    f"got {image_path} without a coordinate reference system",
                    hint="assign one, such as with `gdal_edit.py -a_srs`",
                )
            if source.count == 2:
                raise BandError(
                    f"got {image_path} with 2 bands; expected 1 or at least 3",
                    hint="choose one band or add the missing ones",
                )
            bands = [1, 1, 1] if source.count == 1 else [1, 2, 3]
            pixels = source.read(bands)
            valid = source.dataset_mask() > 0
            labels = _read_labels(labels_path, source)
            size_m_xy = pixel_size_m(source)
    except rasterio.errors.RasterioIOError as error:
        raise SceneError(f"cannot read {image_path}: {error}", hint="check the file") from error
    image = _to_uint8(np.moveaxis(pixels, 0, -1), valid)
    image[~valid] = FILL_RGB
    image, labels, valid, gsd_m = _square(image, labels, valid, size_m_xy)
    known = np.ones(valid.shape, bool)
    return LabelledScene(name, image, labels, valid, known, instances, gsd_m)


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


def _read_labels(path: Path, source: rasterio.DatasetReader) -> NDArray[np.int32]:
    """int32 `(H, W)` on the image's own grid."""
    if path.suffix.lower() in RASTER_SUFFIXES:
        with rasterio.open(path) as mask:
            if mask.shape != source.shape:
                raise LabelError(
                    f"got the mask {path} of {mask.shape} pixels for an image of {source.shape}",
                    hint="resample the mask to the image's grid",
                )
            return np.asarray(mask.read(1) > 0, np.int32)
    info = pyogrio.read_info(path)
    _, _, wkb, _ = pyogrio.raw.read(path, columns=[])
    shapes = shapely.from_wkb(wkb)
    crs = info["crs"]
    if crs is None:
        raise LabelError(f"got {path} without a coordinate reference system", hint="assign one")
    transformer = pyproj.Transformer.from_crs(crs, source.crs, always_xy=True)
    shapes = shapely.transform(shapes, transformer.transform, interleaved=False)
    burnt = [
        (shape, number)
        for number, shape in enumerate(shapes, start=1)
        if shape is not None and not shape.is_empty
    ]
    if not burnt:
        raise LabelError(f"got {path} without any polygon", hint="check the layer")
    labels: NDArray[np.int32] = rasterio.features.rasterize(
        burnt, out_shape=source.shape, transform=source.transform, fill=0, dtype="int32"
    )
    return labels


def _to_uint8(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`(H, W, 3)` of any real type to uint8 by one stretch for all bands."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    low, high = np.percentile(pixels[valid], [1.0, 99.0])
    scaled = (pixels.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def _square(
    image: NDArray[np.uint8],
    labels: NDArray[np.int32],
    valid: NDArray[np.bool_],
    size_m_xy: tuple[float, float],
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.bool_], float]:
    """Resample to square pixels of the finer side's size, if they are not square already."""
    width_m, height_m = size_m_xy
    gsd_m = min(width_m, height_m)
    if max(width_m, height_m) / gsd_m <= 1 + SQUARE_TOLERANCE:
        return image, labels, valid, float(np.sqrt(width_m * height_m))
    height = round(image.shape[0] * height_m / gsd_m)
    width = round(image.shape[1] * width_m / gsd_m)
    rows = np.minimum((np.arange(height) + 0.5) * gsd_m / height_m, image.shape[0] - 1).astype(int)
    cols = np.minimum((np.arange(width) + 0.5) * gsd_m / width_m, image.shape[1] - 1).astype(int)
    nearest = np.ix_(rows, cols)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8), labels[nearest], valid[nearest], gsd_m
