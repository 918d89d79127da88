"""A small city: crops of the real scene as many files of several kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import Resampling, calculate_default_transform, reproject

from buildext.extract.options import ExtractOptions
from buildext.mosaic.executors.base import Executor
from buildext.mosaic.executors.local import InProcess
from buildext.mosaic.grid import BlockId, probability_path, source_path
from buildext.mosaic.ledger import read_ledger
from buildext.mosaic.options import MosaicOptions, RunOptions
from buildext.mosaic.run import MosaicResult, run_mosaic
from buildext.progress import Progress, SilentProgress
from tests import real

# Small tiles at a coarse GSD: the real network in a fraction of a second a block.
EXTRACT = ExtractOptions(tile_px=128, overlap_px=32, gsd_m=0.1, threads=1)
OPTIONS = MosaicOptions(EXTRACT, block_px=192, formats=("parquet",))
FLAGS = ("--tile", 128, "--overlap", 32, "--gsd", 0.1, "--threads", 1, "--block", 192)
FLAGS += ("--format", "parquet", "--progress", "none")
SIZE_PX, OVERLAP_PX = 240, 30
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


def write_city(folder: Path) -> Path:
    """Four overlapping sheets of 8 bits, a newer one of 16 bits, and one in another CRS."""
    folder.mkdir()
    image = real.pixels(2 * SIZE_PX)
    for row in (0, 1):
        for col in (0, 1):
            x, y = (max(0, k * SIZE_PX - OVERLAP_PX) for k in (col, row))
            sheet = image[:, y : (row + 1) * SIZE_PX, x : (col + 1) * SIZE_PX]
            real.write_raster(folder / f"sheet_{row}{col}.tif", sheet, offset_px=(x, y), **TILED)
    newer = image[:, 150:330, 100:300].astype(np.uint16) * 37 + 200
    path = real.write_raster(folder / "newer.tif", newer, offset_px=(100, 150), **TILED)
    with rasterio.open(path, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2024:05:06 07:08:09")
    side = real.write_raster(folder / "utm.tif", image[:, 200:, 330:], offset_px=(330, 200))
    to_utm(side)
    return folder


def to_utm(path: Path) -> None:
    """Turn a file over into UTM, at half the resolution."""
    with rasterio.open(path) as file:
        pixels, crs, transform = file.read(), file.crs, file.transform
        place, width, height = calculate_default_transform(
            crs, "EPSG:32636", file.width, file.height, *file.bounds, resolution=0.15
        )
    turned = np.zeros((3, height, width), np.uint8)
    reproject(
        pixels, turned, src_crs=crs, src_transform=transform, dst_crs="EPSG:32636",
        dst_transform=place, resampling=Resampling.average,
    )  # fmt: skip
    profile: dict[str, Any] = {"height": height, "width": width, "transform": place, "nodata": 0}
    with rasterio.open(
        path, "w", driver="GTiff", count=3, dtype="uint8", crs="EPSG:32636", **profile
    ) as file:
        file.write(turned)


def run(
    names: Path | list[str],
    out: Path,
    options: MosaicOptions = OPTIONS,
    executor: Executor | None = None,
    how: RunOptions | None = None,
    progress: Progress | None = None,
) -> MosaicResult:
    """Run a mosaic of a folder, or of names, in this process."""
    given = [str(names)] if isinstance(names, Path) else names
    return run_mosaic(
        given,
        out,
        options,
        executor or InProcess(),
        how or RunOptions(),
        progress or SilentProgress(),
    )


def with_extract(**changes: Any) -> MosaicOptions:
    """`OPTIONS` with other options of extraction."""
    return replace(OPTIONS, extract=replace(EXTRACT, **changes))


@dataclass(frozen=True)
class Made:
    """What a mosaic came to: rasters by block, and the layer's bytes."""

    probability: dict[BlockId, NDArray[np.uint8]]
    valid: dict[BlockId, NDArray[np.bool_]]
    source: dict[BlockId, NDArray[np.uint16]]
    layer: bytes

    def same_as(self, other: Made) -> bool:
        """Whether everything is equal."""
        return self.layer == other.layer and all(
            mine.keys() == theirs.keys() and all(np.array_equal(mine[b], theirs[b]) for b in mine)
            for mine, theirs in (
                (self.probability, other.probability),
                (self.valid, other.valid),
                (self.source, other.source),
            )
        )


def read(out: Path) -> Made:
    """Everything that a mosaic wrote."""
    probability, valid, source = {}, {}, {}
    with read_ledger(out) as ledger:
        blocks = {block for block, _ in ledger.tasks()}
    for block in blocks:
        if probability_path(out, block).exists():
            with rasterio.open(probability_path(out, block)) as file:
                probability[block] = file.read()
                valid[block] = file.dataset_mask() > 0
            with rasterio.open(source_path(out, block)) as file:
                source[block] = file.read(1)
    parts = sorted((out / "buildings").glob("*.parquet"))
    return Made(probability, valid, source, b"".join(path.read_bytes() for path in parts))
