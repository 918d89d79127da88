"""Large scenes for benchmarks: a real scene, repeated and mirrored, as a JPEG-compressed GeoTIFF.

Mirroring keeps the image continuous where copies meet, so that buildings there look like buildings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.windows import Window

BUNDLED = Path(__file__).parent.parent / "datasets" / "zanzibar_b" / "scene.tif"


def repeat_scene(source: Path, target: Path, height: int, width: int, gsd: float) -> Path:
    """Write a scene of `height` × `width` pixels of `gsd` CRS units from copies of `source`.

    A sparse uint8 RGB GeoTIFF with 512 px JPEG blocks, as orthophotos come.
    """
    with rasterio.open(source) as dataset:
        scale = dataset.transform.a / gsd
        shape = (3, round(dataset.height * scale), round(dataset.width * scale))
        tile = dataset.read((1, 2, 3), out_shape=shape, resampling=Resampling.average)
        crs, origin = dataset.crs, (dataset.transform.c, dataset.transform.f)
    pattern = np.concatenate([tile, tile[:, :, ::-1]], axis=2)
    pattern = np.concatenate([pattern, pattern[:, ::-1]], axis=1)
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 3,
        "height": height,
        "width": width,
        "crs": crs,
        "transform": Affine(gsd, 0, origin[0], 0, -gsd, origin[1]),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "jpeg",
        "photometric": "ycbcr",
        "bigtiff": "if_safer",
    }
    cols = np.arange(width) % pattern.shape[2]
    with rasterio.open(target, "w", JPEG_QUALITY=85, **profile) as out:
        for row in range(0, height, 512):
            rows = np.arange(row, min(row + 512, height)) % pattern.shape[1]
            out.write(pattern[:, rows][:, :, cols], window=Window(0, row, width, len(rows)))
    return target
