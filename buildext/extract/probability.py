"""The probability raster: what the network saw, for whoever wants another threshold.

A Cloud-Optimised GeoTIFF (COG) in the model grid and the scene's CRS. Each channel of the model is
a band of uint8 with its name as description; value · 1/255, the band's declared scale, is the
probability. Bands that hold the step from roof to footprint declare a scale and an offset that make
them metres. Pixels without data are marked in an internal mask rather than by a nodata value, since
all 256 values are probabilities. Overviews are averages of the valid pixels.

A COG holds its overviews before its pixels, so it cannot be written in one pass: blocks go to an
ordinary tiled GeoTIFF beside the output first, and GDAL copies that over, tile by tile. Memory is
bounded by GDAL's block cache in both passes. A third pass reads the copy once: on a disk that has
just filled up, GDAL may close a file with holes in it and say nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import DatasetWriter
from rasterio.windows import Window as RasterWindow

from buildext.atomic import atomic_path
from buildext.footprints.destination import output_errors
from buildext.footprints.raw import Block
from buildext.models.card import OFFSET_CHANNELS

_INTERIM = {
    "driver": "GTiff",
    "dtype": "uint8",
    "tiled": True,
    "blockxsize": 512,
    "blockysize": 512,
    "interleave": "band",
    "compress": "deflate",
    "zlevel": 1,
    "bigtiff": "IF_SAFER",
    "sparse_ok": True,
}
_COG = {
    "driver": "COG",
    "compress": "deflate",
    "predictor": "standard",
    "bigtiff": "IF_SAFER",
    "blocksize": 512,
    "overview_resampling": "average",
}


class ProbabilityWriter:
    """Takes finished blocks, in any order."""

    def __init__(self, dataset: DatasetWriter, final: Path) -> None:
        self._dataset = dataset
        self._final = final
        self._bytes = 0

    def write(self, block: Block) -> None:
        """Write a block at its window, in pixels of the raster.

        Raises:
            OutputError: the file cannot be written (`DiskFullError`: the disk is full).
        """
        window = block.window
        where = RasterWindow(window.col, window.row, window.width, window.height)
        self._bytes += block.probability.nbytes
        with self.errors():
            self._dataset.write(block.probability, window=where)
            self._dataset.write_mask(block.valid.astype(np.uint8) * 255, window=where)

    def errors(self) -> contextlib.AbstractContextManager[None]:
        """Errors inside are those of writing what was handed over so far."""
        return output_errors(self._final, 2 * self._bytes)


@contextlib.contextmanager
def open_probability(
    path: Path,
    shape_hw: tuple[int, int],
    transform: Affine,
    crs: Any,
    channels: Sequence[str],
    *,
    offset_range_m: float | None = None,
    metadata: Mapping[str, Any],
    overwrite: bool = False,
    threads: int = 0,
) -> Iterator[ProbabilityWriter]:
    """Open a probability raster; it appears under its name when the block ends well.

    Args:
        path: the output.
        shape_hw: height and width in pixels of the model grid.
        transform: pixels → CRS.
        crs: CRS of rasterio or None.
        channels: names of the bands.
        offset_range_m: what the model's card says of the channels `offset_x` and `offset_y`.
        metadata: settings of the run, fit for JSON; stored as the tag `buildext`.
        overwrite: replace an existing file.
        threads: that may compress at the end; 0 takes all.

    Raises:
        OutputExistsError: the file exists and `overwrite` is false.
        OutputError: the file cannot be written.
    """
    height, width = shape_hw
    with atomic_path(path, overwrite) as temporary:
        interim = temporary.with_name(f"{temporary.stem}.interim.tif")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            with output_errors(path):
                dataset = rasterio.open(
                    interim,
                    "w",
                    height=height,
                    width=width,
                    count=len(channels),
                    crs=crs,
                    transform=transform,
                    **_INTERIM,
                )
            writer = ProbabilityWriter(dataset, path)
            with dataset:
                dataset.descriptions = tuple(channels)
                ranges_m = [
                    (offset_range_m or 0.0) if c in OFFSET_CHANNELS else 0.0 for c in channels
                ]
                # metres = range · (2 · value / 255 − 1), see `Card.offset_range_m`.
                dataset.scales = tuple(2 * r / 255 if r else 1 / 255 for r in ranges_m)
                dataset.offsets = tuple(-r for r in ranges_m)
                dataset.update_tags(buildext=json.dumps(metadata))
                yield writer
            with writer.errors():
                rasterio.shutil.copy(interim, temporary, num_threads=threads or "ALL_CPUS", **_COG)
                _verify(temporary)


def _verify(path: Path) -> None:
    """Read every tile of a raster, its mask and its overviews.

    Raises:
        rasterio.errors.RasterioIOError: a tile is missing or damaged.
    """
    with rasterio.open(path) as dataset:
        levels: list[int | None] = [None, *range(len(dataset.overviews(1)))]
    for level in levels:
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(path, **options) as dataset:
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)
                dataset.read_masks(1, window=window)
