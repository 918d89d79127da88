"""The bundled real things that tests run on, and scenes made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

ROOT = Path(__file__).parents[1]
SCENE = ROOT / "datasets" / "kampala_b" / "scene.tif"
"""1024 × 1024 pixels of 0.0746 m in web Mercator, with about a hundred buildings."""


def pixels(size_px: int = 1024) -> NDArray[np.uint8]:
    """The upper left corner of the real scene, `(3, size, size)`."""
    with rasterio.open(SCENE) as scene:
        corner: NDArray[np.uint8] = scene.read(window=RasterWindow(0, 0, size_px, size_px))
    return corner


def write_raster(
    path: Path,
    image: NDArray[Any],
    *,
    crs: str | None = "EPSG:3857",
    offset_px: tuple[int, int] = (0, 0),
    **profile: Any,
) -> Path:
    """Write `(C, H, W)` as a GeoTIFF where the real scene lies, `offset_px` (col, row) into it."""
    with rasterio.open(SCENE) as scene:
        transform = scene.transform @ Affine.translation(*offset_px)
    count, height, width = image.shape
    georeference = {} if crs is None else {"crs": crs, "transform": transform}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=image.dtype,
        **georeference,
        **profile,
    ) as target:
        target.write(image)
    return path


def repeat(path: Path, copies: int) -> Path:
    """A VRT that shows the real scene `copies` × `copies` times: a large scene in a small file."""
    with rasterio.open(SCENE) as scene:
        size, crs, transform = scene.width, scene.crs.to_wkt(), scene.transform.to_gdal()
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">'
        + "".join(
            f"<SimpleSource><SourceFilename>{SCENE}</SourceFilename>"
            f"<SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{size}" ySize="{size}"/>'
            f'<DstRect xOff="{col * size}" yOff="{row * size}" xSize="{size}" ySize="{size}"/>'
            "</SimpleSource>"
            for row in range(copies)
            for col in range(copies)
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{copies * size}" rasterYSize="{copies * size}">'
        f"<SRS>{crs.replace('<', '&lt;')}</SRS>"
        f"<GeoTransform>{','.join(map(str, transform))}</GeoTransform>{bands}</VRTDataset>"
    )
    return path
