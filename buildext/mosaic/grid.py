"""The grid of a mosaic: one lattice of pixels, tiles, cells and blocks for all files together.

A mosaic has one CRS, one pixel size and one *lattice*, which starts far to the north-west of the
first files and ends nowhere: files that are added later, on whichever side, move nothing. Tiles and
their cells lie on it as they lie on a scene (see `grid.tiling`); a *block* is a square of
`block_cells` × `block_cells` whole cells, named by its row and column on the lattice. Blocks
partition the lattice, so they partition the mosaic.

What a block is in two stages:

1. *Probability.* `probability/{row}_{col}.tif` is a COG of uint8, one band a channel of the model,
   255 times the probability, of exactly `window(block)`. Pixels without data are 0 and marked in an
   internal mask. `probability/{row}_{col}.source.tif`, of the same pixels, says in one band which
   file each pixel comes from: the number of a `SourceRow`, 0 where there is none. Every tile whose
   overlap reaches into the block has been looked at, so a pixel's value is the one that a single
   pass over the whole lattice would give. A block without any valid pixel has *no* files: where a
   neighbour has no file, there is no data.
2. *Footprints.* `outline_block` is called once the first stage of the block and of its eight
   neighbours is done (or there is nothing to do); it reads these rasters and writes the buildings
   that the block owns below `footprints/`. What it writes must depend on nothing else, must be
   written atomically, and must replace what an earlier call for the block wrote, since any call may
   be repeated. It runs in worker processes, some of them on other machines that share the folder.

When every block is through, `finish` is called once in the coordinating process, and again by each
later run that changed a block.

    outline.outline_block(out, grid, block, options: OutlineOptions) -> BlockOutcome
    finish.finish(out, grid, blocks: Sequence[BlockRow], sources: Sequence[SourceRow],
                  settings: Mapping[str, Any], formats: tuple[str, ...], progress: Progress)

The values that pass are in `rows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affine import Affine
from rasterio.crs import CRS

from buildext.extract.blend import CellRange
from buildext.footprints.frame import GridFrame
from buildext.grid.tiling import TileGrid
from buildext.grid.window import Window

PROBABILITY, FOOTPRINTS = "probability", "footprints"
# The first files lie in this row and column of blocks; there is room for as many before them.
FIRST_BLOCK = 1000
# Without end for any purpose here, and an index of a pixel that still fits 32 bits.
LATTICE_LEVELS = 30
LATTICE_PX = 2**LATTICE_LEVELS


@dataclass(frozen=True, slots=True, order=True)
class BlockId:
    """A block's place: row and column of blocks on the lattice. Ordered row by row."""

    row: int
    col: int

    @property
    def name(self) -> str:
        """Stem of the block's files."""
        return f"{self.row:05d}_{self.col:05d}"

    @classmethod
    def parse(cls, name: str) -> BlockId:
        """The block of a stem written by `name`."""
        row, col = name.split("_")
        return cls(int(row), int(col))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class MosaicGrid:
    """The lattice of a mosaic.

    Attributes:
        crs_wkt: CRS of the mosaic, projected.
        transform: pixel of the lattice → CRS; north-up.
        gsd_m: metres on the ground per pixel, at the centre of the first files.
        tile_px, overlap_px: tiles as the network sees them.
        block_cells: cells along one side of a block.
        channels: names of the probability's bands, `building` first.
    """

    crs_wkt: str
    transform: Affine
    gsd_m: float
    tile_px: int
    overlap_px: int
    block_cells: int
    channels: tuple[str, ...]

    @property
    def crs(self) -> CRS:
        """CRS of rasterio."""
        return CRS.from_wkt(self.crs_wkt)

    @property
    def tiles(self) -> TileGrid:
        """The tile grid over the whole lattice."""
        return TileGrid(LATTICE_PX, LATTICE_PX, self.tile_px, self.overlap_px)

    @property
    def block_px(self) -> int:
        """Pixels along one side of a block."""
        return self.block_cells * (self.tile_px - self.overlap_px)

    def window(self, block: BlockId) -> Window:
        """The pixels of a block, on the lattice."""
        size = self.block_px
        return Window(block.row * size, block.col * size, size, size)

    def cells(self, block: BlockId) -> CellRange:
        """The cells of a block."""
        count = self.block_cells
        row, col = block.row * count, block.col * count
        return CellRange(row, col, row + count, col + count)

    def blocks_of(self, window: Window) -> Iterator[BlockId]:
        """The blocks that a window of the lattice meets, row by row."""
        size = self.block_px
        for row in range(window.row // size, -(-window.row_stop // size)):
            for col in range(window.col // size, -(-window.col_stop // size)):
                yield BlockId(row, col)

    def transform_of(self, window: Window) -> Affine:
        """Pixel of a window → CRS."""
        return self.transform @ Affine.translation(window.col, window.row)

    def frame(self, window: Window) -> GridFrame:
        """Where a window's upper left corner and its pixels lie in the world."""
        return GridFrame(self.transform_of(window), self.crs, self.gsd_m)


def neighbours(block: BlockId) -> Iterator[BlockId]:
    """The eight blocks around a block, row by row; not all of them need exist."""
    for row in (block.row - 1, block.row, block.row + 1):
        for col in (block.col - 1, block.col, block.col + 1):
            if (row, col) != (block.row, block.col):
                yield BlockId(row, col)


def probability_path(out: Path, block: BlockId) -> Path:
    """Raster of a block's probability."""
    return out / PROBABILITY / f"{block.name}.tif"


def source_path(out: Path, block: BlockId) -> Path:
    """Raster that says which file each pixel of a block comes from."""
    return out / PROBABILITY / f"{block.name}.source.tif"
