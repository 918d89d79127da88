"""The pre-flight line: what a run will read, need and take, said before it starts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from buildext.engines.base import Engine
from buildext.extract.blend import Layout
from buildext.extract.pace import WORTH_TIMING, seconds_per_tile

# Measured: the interpreter with its libraries, and a network's activations a tile in flight at the
# bundled models' widths, in bytes a pixel of the tile. See docs/performance.md.
BASE_BYTES = 460e6
ACTIVATION_BYTES_PER_PX = 90.0
PENDING_PANELS = 6
# A building of a typical town takes 200 bytes in a GeoPackage, and there is one to 1 500 pixels.
LAYER_BYTES_PER_PX = 200 / 1500
PROBABILITY_BYTES_PER_PX = 0.35


@dataclass(frozen=True, slots=True)
class Preflight:
    """Estimates for one run; bytes, seconds and pixels of the model grid."""

    tiles: int
    pixels: int
    memory_bytes: float
    disk_bytes: float
    disk_free_bytes: float
    seconds: float | None


def estimate(
    layout: Layout,
    channels: int,
    engine: Engine,
    cache_bytes: float,
    output: Path,
    raster: bool,
    network: str,
) -> Preflight:
    """Estimate a run.

    Args:
        layout: tiles of the run.
        channels: number of channels that the network predicts.
        engine: the engine; its pace is asked for where the run is long enough to care.
        cache_bytes: memory that GDAL may use to keep decoded blocks.
        output: the output file, for the free space on its disk.
        raster: a probability raster is written too.
        network: what tells the network's weights from others; see `pace.seconds_per_tile`.
    """
    grid = layout.grid
    window = layout.cells.window(grid)
    in_flight = max(engine.info.tiles_in_flight, 1)
    panel_px = layout.panel_cols * grid.stride_px * layout.strip_rows * grid.stride_px
    memory = (
        BASE_BYTES
        + cache_bytes
        + in_flight * grid.tile_px**2 * ACTIVATION_BYTES_PER_PX
        + window.width * grid.overlap_px * channels * 4
        + PENDING_PANELS * panel_px * (channels + 4)
    )
    disk = window.pixels * (LAYER_BYTES_PER_PX + (PROBABILITY_BYTES_PER_PX if raster else 0))
    seconds = None
    if layout.tiles >= WORTH_TIMING:
        seconds = layout.tiles * seconds_per_tile(engine, grid.tile_px, network)
    return Preflight(
        tiles=layout.tiles,
        pixels=window.pixels,
        memory_bytes=memory,
        disk_bytes=disk,
        disk_free_bytes=shutil.disk_usage(output.parent).free,
        seconds=seconds,
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
