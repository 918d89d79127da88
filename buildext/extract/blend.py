"""Tapered blending in a rolling strip: from overlapping tiles to finished blocks of probability.

Tiles are added in row-major order inside a panel, and what a later tile still has to add to is
carried: to the right the last `overlap` columns of each tile, downwards the last `overlap` rows of
each tile row. Nothing of the scene's size exists but the carried rows.

A pixel in a corner of four tiles is always summed as

    (upper left + upper right) + (lower left + lower right)

each already weighted by its tapers. Floating-point addition is not associative; fixing the order
makes the result independent of strips, panels and batches to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from buildext.footprints.raw import Block
from buildext.grid.taper import taper
from buildext.grid.tiling import TileGrid
from buildext.grid.window import Window

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Tile = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CellRange:
    """A rectangle of cells of a tile grid: the part of a scene that is wanted. Half-open."""

    row: int
    col: int
    row_stop: int
    col_stop: int

    @classmethod
    def whole(cls, grid: TileGrid) -> CellRange:
        """All cells of a grid."""
        return cls(0, 0, grid.rows, grid.cols)

    @classmethod
    def covering(cls, grid: TileGrid, window: Window) -> CellRange:
        """The cells that a window touches."""
        stride = grid.stride_px
        return cls(
            min(max(window.row, 0) // stride, grid.rows - 1),
            min(max(window.col, 0) // stride, grid.cols - 1),
            min(max(-(-window.row_stop // stride), 1), grid.rows),
            min(max(-(-window.col_stop // stride), 1), grid.cols),
        )

    def window(self, grid: TileGrid) -> Window:
        """The pixels of these cells."""
        first = grid.cell(self.row, self.col)
        last = grid.cell(self.row_stop - 1, self.col_stop - 1)
        return Window(first.row, first.col, last.row_stop - first.row, last.col_stop - first.col)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tiles of a range of cells are walked: in panels of tile columns inside strips."""

    grid: TileGrid
    cells: CellRange
    strip_rows: int = 1
    panel_cols: int = 8

    @property
    def tiles(self) -> int:
        """Number of wanted cells, each of which is decided by a tile of its own."""
        cells = self.cells
        return (cells.row_stop - cells.row) * (cells.col_stop - cells.col)

    def panels(self) -> Iterator[CellRange]:
        """The panels in the order in which their blocks are finished.

        The first panel of a strip begins, and the first strip of all begins, with the cells
        *before* the wanted range: their tiles reach into it. These cells are computed, not given
        out.
        """
        first_row, first_col = max(self.cells.row - 1, 0), max(self.cells.col - 1, 0)
        row = self.cells.row
        while row < self.cells.row_stop:
            row_stop = min(row + self.strip_rows, self.cells.row_stop)
            col = self.cells.col
            while col < self.cells.col_stop:
                col_stop = min(col + self.panel_cols, self.cells.col_stop)
                yield CellRange(
                    first_row if row == self.cells.row else row,
                    first_col if col == self.cells.col else col,
                    row_stop,
                    col_stop,
                )
                col = col_stop
            row = row_stop


@dataclass(frozen=True, slots=True)
class TileResult:
    """What is known of one tile: probabilities `(K, T, T)` or None where nothing is valid, and the
    valid mask `(T, T)`, or None where everything is."""

    probability: FloatArray | None
    valid: BoolArray | None


def blend(layout: Layout, channels: int, results: Iterable[TileResult]) -> Iterator[Block]:
    """Blend tiles into finished blocks.

    Args:
        layout: the order of the tiles; `results` must come in the order of `tiles_of`.
        channels: number of channels K.
        results: one result a tile.

    Yields:
        One block a panel: probabilities as uint8, round(255·p), zero where invalid. Blocks
        partition the pixels of `layout.cells`.
    """
    grid, cells = layout.grid, layout.cells
    overlap, stride, size = grid.overlap_px, grid.stride_px, grid.tile_px
    wanted = cells.window(grid)
    base_col = max(cells.col - 1, 0) * stride
    # Rows that the next tile row still adds to, for the whole width: the one array that grows with
    # a scene's width, by `channels * overlap * 4` bytes a column.
    carry = np.zeros((channels, overlap, wanted.col_stop - base_col), np.float32)
    edge: dict[int, FloatArray] = {}
    ramps = {
        flags: taper(size, overlap, fade_in=flags[0], fade_out=flags[1])
        for flags in ((False, False), (False, True), (True, False), (True, True))
    }
    stream = iter(results)
    for panel in layout.panels():
        window = panel.window(grid).intersection(wanted)
        assert window is not None
        probability = np.zeros((channels, window.height, window.width), np.uint8)
        valid = np.ones((window.height, window.width), bool)
        for row, col in tiles_of(panel):
            result = next(stream)
            cell = grid.cell(row, col)
            tile = (
                np.zeros((channels, size, size), np.float32)
                if result.probability is None
                else result.probability
            )
            if overlap:
                x = ramps[col > 0, col < grid.cols - 1]
                y = ramps[row > 0, row < grid.rows - 1]
                if col > 0:
                    tile[:, :, :overlap] *= x[:overlap]
                    if row in edge:
                        tile[:, :, :overlap] += edge[row]
                if col < grid.cols - 1:
                    edge[row] = tile[:, :, stride:] * x[stride:]
                else:
                    edge.pop(row, None)
                span = slice(cell.col - base_col, cell.col_stop - base_col)
                if row > 0:
                    head = tile[:, :overlap, : cell.width]
                    head *= y[:overlap, None]
                    head += carry[:, :, span]
                if row < grid.rows - 1:
                    tail = tile[:, stride:, : cell.width]
                    np.multiply(tail, y[stride:, None], out=carry[:, :, span])
            part = cell.intersection(window)
            if part is None:
                continue
            inside = part.shifted(-cell.row, -cell.col).slices
            target = part.shifted(-window.row, -window.col).slices
            # Adding one half and cutting off is rounding, at a third of np.rint's price; nobody
            # needs the tile any more.
            final = tile[(slice(None), *inside)]
            final *= 255
            final += 0.5
            probability[(slice(None), *target)] = final
            if result.valid is not None:
                valid[target] = result.valid[inside]
        if not valid.all():
            probability *= valid
        yield Block(window, probability, valid)


def tiles_of(panel: CellRange) -> Iterator[Tile]:
    """The tiles of a panel in row-major order."""
    for row in range(panel.row, panel.row_stop):
        for col in range(panel.col, panel.col_stop):
            yield row, col
