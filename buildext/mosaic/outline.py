"""The second stage of a block: outlines of the buildings that it owns.

    probability of the block and around it → owned groups → shaped outlines → features → file

Nothing here depends on which blocks are done before or after, by whom, or how large blocks are:
every building comes out of the one block that owns it (see `ownership`) as it would come out of one
pass over the whole mosaic. Its `id` is the place of its first pixel on the mosaic's lattice, and
its features are sorted along a Hilbert curve, so that the file is the same, byte by byte, whoever
writes it.

A group is shaped as a whole, in memory that grows with the length of its outlines. Where a
threshold is far too low, a city may melt into one group. Beyond `LARGEST_GROUP_PX` a group keeps
the outlines of its pixels, and says so in `reg_status`; that depends on the group alone, so it is
kept wherever and however it is met.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
import shapely
from numpy.typing import NDArray

from buildext.extract.pipeline import CACHE_BYTES
from buildext.footprints.features import FEATURE_SCHEMA, to_batch
from buildext.footprints.frame import GridFrame
from buildext.footprints.raw import RawGroup
from buildext.footprints.shape import ShapedBuilding, ShapeOptions, shape_groups
from buildext.footprints.write import open_writer
from buildext.mosaic.grid import (
    FIRST_BLOCK,
    FOOTPRINTS,
    LATTICE_LEVELS,
    LATTICE_PX,
    BlockId,
    MosaicGrid,
)
from buildext.mosaic.groups import owned_groups
from buildext.mosaic.hilbert import hilbert_index
from buildext.mosaic.majority import PagedSources, SourcesOf, majority_source
from buildext.mosaic.ownership import PAGE_PX, Pages
from buildext.mosaic.raster import MosaicRaster
from buildext.mosaic.rows import BlockOutcome, OutlineOptions, worker_name
from buildext.mosaic.times import Span

log = logging.getLogger(__name__)

SOURCE_NUMBER = "source_number"
BLOCK_SCHEMA = FEATURE_SCHEMA.insert(
    FEATURE_SCHEMA.get_field_index("geometry"), pa.field(SOURCE_NUMBER, pa.int32())
)
# An id is row · 2²⁸ + column: below 2⁵³, which JavaScript still counts, for 33 million rows.
_COL_BITS = 28
# Length of all outlines of a group, in pixels: 600 km where a pixel is 0.3 m. About 300 bytes a
# pixel are needed to shape it.
LARGEST_GROUP_PX = 2_000_000
# Shaping many at once is faster; few enough, and short enough, to keep the batches small.
_BATCH_BUILDINGS = 256
_BATCH_PX = 200_000


def footprints_path(out: Path, block: BlockId) -> Path:
    """Features of a block; a block that owns no building has no such file."""
    return out / FOOTPRINTS / f"{block.name}.parquet"


def outline_block(
    out: Path, grid: MosaicGrid, block: BlockId, options: OutlineOptions
) -> BlockOutcome:
    """Write the buildings that a block owns.

    The probability of the block and of its neighbours must be there. A group of touching buildings
    may reach farther: all blocks that were looked at, whether they had a file or not, are listed in
    the outcome's details under `read`. Where the first stage of one of them ends later, or again,
    what was written here is out of date, and the call must be repeated.

    Args:
        out: folder of the mosaic.
        grid: its lattice.
        block: the block.
        options: how probability becomes outlines.

    Returns:
        Number of buildings and time; details: `read`, names of blocks; `groups`, number of groups
        of touching buildings; `area_m2`, their area.

    Raises:
        SceneError: a raster is damaged.
        OutputError: the file cannot be written.
    """
    start = Span.now()
    frame = anchor(grid)
    batches: list[pa.RecordBatch] = []
    groups = 0
    page_px = min(PAGE_PX, grid.block_px)
    pages = Pages(grid.window(block), LATTICE_PX, LATTICE_PX, page_px)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), MosaicRaster(out, grid) as raster:
        sources = PagedSources(raster.sources, page_px)
        for some in _batches(owned_groups(raster, pages, options.separation)):
            groups += len(some)
            batches.append(_features(some, options, grid, frame, sources))
        read = sorted(seen.name for seen in raster.seen)
    table = _sorted(pa.Table.from_batches(batches, BLOCK_SCHEMA))
    _write(table, footprints_path(out, block), grid)
    took = Span.now().since(start)
    details: dict[str, Any] = {
        "read": read,
        "groups": groups,
        "area_m2": round(float(table["area_m2"].to_numpy().sum()), 2),
    }
    log.info("block %s: %d buildings in %.2f s", block, len(table), took.wall_s)
    return BlockOutcome(len(table), 0, took.wall_s, worker_name(), details, took.cpu_s)


def anchor(grid: MosaicGrid) -> GridFrame:
    """The frame in which features are measured and placed: the same for all blocks.

    Its origin lies near the first files, since whether a CRS is faithful is measured there.
    """
    return grid.frame(grid.window(BlockId(FIRST_BLOCK, FIRST_BLOCK)))


def building_ids(buildings: Sequence[ShapedBuilding]) -> NDArray[np.int64]:
    """Ids `(N,)`: where the first pixel, in row-major order, lies on the lattice."""
    polygons = np.array([building.raw.polygon for building in buildings])
    first = shapely.get_point(shapely.get_exterior_ring(polygons), 0)
    row, col = shapely.get_y(first).astype(np.int64), shapely.get_x(first).astype(np.int64)
    ids: NDArray[np.int64] = (row << _COL_BITS) + col
    return ids


def _batches(groups: Iterable[RawGroup]) -> Iterator[list[RawGroup]]:
    waiting: list[RawGroup] = []
    buildings, length_px = 0, 0.0
    for group in groups:
        waiting.append(group)
        buildings += len(group)
        length_px += _length_px(group)
        if buildings >= _BATCH_BUILDINGS or length_px >= _BATCH_PX:
            yield waiting
            waiting, buildings, length_px = [], 0, 0.0
    if waiting:
        yield waiting


def _length_px(group: RawGroup) -> float:
    """Length of all outlines of a group."""
    return float(sum(building.polygon.length for building in group))


def _features(
    groups: Sequence[RawGroup],
    options: OutlineOptions,
    grid: MosaicGrid,
    frame: GridFrame,
    sources: SourcesOf,
) -> pa.RecordBatch:
    """Shape groups and measure them."""
    shaped = _shaped(groups, options.shape, grid.gsd_m)
    ids = building_ids(shaped)
    numbers = majority_source([building.raw.polygon for building in shaped], sources)
    window = grid.window(BlockId(FIRST_BLOCK, FIRST_BLOCK))
    corner_xy = np.array((window.col, window.row), np.float64)
    polygons = np.array([building.polygon for building in shaped])
    moved = shapely.transform(polygons, lambda xy: xy - corner_xy)
    batch = to_batch(
        [
            ShapedBuilding(polygon, building.raw, building.reg_status)
            for building, polygon in zip(shaped, moved.tolist(), strict=True)
        ],
        frame,
        0,
    )
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns |= {"id": pa.array(ids), SOURCE_NUMBER: pa.array(numbers)}
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in BLOCK_SCHEMA.names], schema=BLOCK_SCHEMA
    )


def _shaped(
    groups: Sequence[RawGroup], options: ShapeOptions, gsd_m: float
) -> list[ShapedBuilding]:
    """Shape groups, but for those that are too large."""
    fine: list[RawGroup] = []
    shaped: list[ShapedBuilding] = []
    for group in groups:
        if _length_px(group) <= LARGEST_GROUP_PX:
            fine.append(group)
        else:
            shaped += [ShapedBuilding(raw.polygon, raw, "kept") for raw in group]
    shaped += [one for group in shape_groups(fine, options, gsd_m) for one in group]
    return shaped


def _sorted(table: pa.Table) -> pa.Table:
    """Features along the Hilbert curve of their first pixels, of which no two are the same."""
    ids = table["id"].to_numpy()
    along = hilbert_index(ids & ((1 << _COL_BITS) - 1), ids >> _COL_BITS, LATTICE_LEVELS)
    return table.take(np.argsort(along)).combine_chunks()


def _write(table: pa.Table, path: Path, grid: MosaicGrid) -> None:
    """Replace a block's file; without features there is to be none."""
    if not len(table):
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    with open_writer(path, grid.crs, metadata={}, overwrite=True, schema=BLOCK_SCHEMA) as writer:
        for batch in table.to_batches():
            writer.write(batch)
