"""Mosaics whose probability is known: rasters of blocks written from one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from buildext.footprints.separate import SeparationOptions
from buildext.footprints.shape import ShapeMode, ShapeOptions
from buildext.grid.window import Window
from buildext.mosaic.grid import (
    FIRST_BLOCK,
    PROBABILITY,
    BlockId,
    MosaicGrid,
    probability_path,
    source_path,
)
from buildext.mosaic.rows import OutlineOptions

CRS_WKT = CRS.from_epsg(25833).to_wkt()
# Of the first block's upper left corner; the pixel is a power of two, so that no place is rounded.
CORNER_XY = (390_000.0, 5_820_000.0)
GSD_M = 0.5
PLAIN = SeparationOptions(contact_threshold_u8=None)


def grid_of(block_px: int, channels: tuple[str, ...] = ("building",)) -> MosaicGrid:
    """A grid with blocks of one cell."""
    shift = FIRST_BLOCK * block_px * GSD_M
    return MosaicGrid(
        CRS_WKT,
        Affine(GSD_M, 0, CORNER_XY[0] - shift, 0, -GSD_M, CORNER_XY[1] + shift),
        GSD_M,
        block_px,
        0,
        1,
        channels,
    )


def options_of(separation: SeparationOptions = PLAIN, mode: ShapeMode = "none") -> OutlineOptions:
    return OutlineOptions(separation, ShapeOptions(mode), "roof")


def write_mosaic(
    out: Path,
    grid: MosaicGrid,
    probability: NDArray[np.uint8],
    valid: NDArray[np.bool_] | None = None,
    sources: NDArray[np.uint16] | None = None,
) -> list[BlockId]:
    """Write `(K, H, W)` probability from the first block on; returns all blocks that it meets."""
    count, height, width = probability.shape
    if valid is None:
        valid = np.ones((height, width), np.bool_)
    if sources is None:
        sources = valid.astype(np.uint16)
    size = grid.block_px
    (out / PROBABILITY).mkdir(exist_ok=True)
    blocks = [
        BlockId(FIRST_BLOCK + row, FIRST_BLOCK + col)
        for row in range(-(-height // size))
        for col in range(-(-width // size))
    ]
    for block in blocks:
        row, col = (block.row - FIRST_BLOCK) * size, (block.col - FIRST_BLOCK) * size
        there = slice(row, row + size), slice(col, col + size)
        part = np.zeros((count, size, size), np.uint8)
        mask, number = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint16)
        inside = slice(0, min(size, height - row)), slice(0, min(size, width - col))
        part[(slice(None), *inside)] = probability[(slice(None), *there)] * valid[there]
        mask[inside] = valid[there] * np.uint8(255)
        number[inside] = sources[there]
        if not mask.any():
            continue
        profile = {
            "driver": "GTiff",
            "width": size,
            "height": size,
            "crs": grid.crs,
            "transform": grid.transform_of(grid.window(block)),
        }
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                probability_path(out, block), "w", count=count, dtype="uint8", **profile
            ) as dataset,
        ):
            dataset.write(part)
            dataset.write_mask(mask)
        with rasterio.open(
            source_path(out, block), "w", count=1, dtype="uint16", **profile
        ) as dataset:
            dataset.write(number, 1)
    return blocks


def shifted(window: Window, grid: MosaicGrid) -> Window:
    """A window counted from the first block's corner, on the lattice."""
    first = FIRST_BLOCK * grid.block_px
    return window.shifted(first, first)
