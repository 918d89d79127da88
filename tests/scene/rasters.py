"""Rasters for the tests, written by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from buildext.scene import SceneOptions

UTM = "EPSG:32630"
ORIGIN_XY = (500_000.0, 4_649_776.0)
OPTIONS = SceneOptions(gsd_range_m=(0.1, 0.6), fill=(9, 8, 7))


def utm(gsd_m: float, col: float = 0, row: float = 0) -> Affine:
    """North-up pixels of `gsd_m`, whose corner is `col`, `row` of them away from `ORIGIN_XY`."""
    return Affine(gsd_m, 0, ORIGIN_XY[0] + col * gsd_m, 0, -gsd_m, ORIGIN_XY[1] - row * gsd_m)


def noise(height: int, width: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Random uint8 `(bands, height, width)`, 1–255."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, (bands, height, width), dtype=np.uint8)


def write(
    path: Path,
    pixels: NDArray[Any],
    transform: Affine | None = None,
    crs: str | None = UTM,
    *,
    mask: NDArray[np.bool_] | None = None,
    internal_mask: bool = True,
    interpretation: list[Any] | None = None,
    palette: dict[int, tuple[int, ...]] | None = None,
    **profile: Any,
) -> Path:
    """Write a GeoTIFF; `transform` None means `utm(0.3)`."""
    count, height, width = pixels.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal_mask),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=count,
            dtype=pixels.dtype,
            crs=crs,
            transform=utm(0.3) if transform is None else transform,
            **profile,
        ) as file,
    ):
        if interpretation:
            file.colorinterp = interpretation
        file.write(pixels)
        if palette:
            file.write_colormap(1, palette)
        if mask is not None:
            file.write_mask(mask)
    return path
