"""What a mosaic will take: pixels, tiles, time and disk, before the first block is done."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from buildext.extract.choices import engine_of
from buildext.extract.options import ExtractOptions
from buildext.extract.preflight import LAYER_BYTES_PER_PX, PROBABILITY_BYTES_PER_PX
from buildext.models.store import load_model
from buildext.mosaic.plan import Plan

_TIMED_TILES = 4
# Outlines, rasters and the end of the run, as a share of the network's time.
_REST = 0.25


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimates for a mosaic that is done from its beginning.

    Attributes:
        files: that are read.
        blocks: number of blocks.
        pixels: of the model grid on which files lie.
        tiles: that the network looks at, those before each block among them.
        seconds: with `workers` workers of `threads` threads on machines like this one.
        workers, threads: see there.
        disk_bytes, disk_free_bytes: that the outputs take, and that there are.
    """

    files: int
    blocks: int
    pixels: int
    tiles: int
    seconds: float
    workers: int
    threads: int
    disk_bytes: float
    disk_free_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain values."""
        return asdict(self)


def estimate(
    plan: Plan,
    without: frozenset[int],
    options: ExtractOptions,
    workers: int,
    threads: int,
    out: Path,
) -> Estimate:
    """Estimate a mosaic; the network is loaded and timed on a few empty tiles."""
    pixels = tiles = 0
    for block in plan.blocks:
        cells = plan.cells(block, plan.of_block(block, without))
        if cells is not None:
            pixels += cells.window(plan.grid.tiles).pixels
            tiles += (cells.row_stop - cells.row + 1) * (cells.col_stop - cells.col + 1)
    per_tile_s = _tile_s(plan, replace(options, threads=options.threads or threads))
    return Estimate(
        files=len(plan.files) - len(without & {file.number for file in plan.files}),
        blocks=len(plan.blocks),
        pixels=pixels,
        tiles=tiles,
        seconds=tiles * per_tile_s * (1 + _REST) / workers,
        workers=workers,
        threads=threads,
        disk_bytes=pixels * (PROBABILITY_BYTES_PER_PX + 2 * LAYER_BYTES_PER_PX),
        disk_free_bytes=shutil.disk_usage(out).free,
    )


def _tile_s(plan: Plan, options: ExtractOptions) -> float:
    """Seconds that the network takes for a tile."""
    model = load_model(options.model)
    engine = engine_of(model, options, plan.grid.gsd_m)
    tile_px = plan.grid.tile_px
    empty = np.zeros((len(model.card.bands), tile_px, tile_px), np.uint8)
    engine.infer(empty[None])
    start = time.perf_counter()
    for _ in engine.stream((index, empty) for index in range(_TIMED_TILES)):
        pass
    return (time.perf_counter() - start) / _TIMED_TILES
