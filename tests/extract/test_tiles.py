"""Reading tiles: the pixels of each, in the order of the layout, and no more than is needed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from buildext.extract.blend import CellRange, Layout, tiles_of
from buildext.extract.tiles import BoolArray, UInt8Array, read_tiles
from buildext.grid.tiling import TileGrid
from buildext.grid.window import Window

FILL = 7


class Plane:
    """A scene whose pixels tell where they are; a band of columns holds no data."""

    def __init__(self, grid: TileGrid, void: range = range(0)) -> None:
        rows, cols = np.mgrid[: grid.height, : grid.width]
        self._image = np.stack((rows % 251, cols % 241, (rows + cols) % 239)).astype(np.uint8)
        self._valid = np.ones((grid.height, grid.width), bool)
        self._valid[:, void.start : void.stop] = False
        self.read_px = 0

    def read(self, window: Window) -> tuple[UInt8Array, BoolArray]:
        self.read_px += window.pixels
        image = np.full((3, window.height, window.width), FILL, np.uint8)
        valid = np.zeros((window.height, window.width), bool)
        height, width = self._valid.shape
        part = window.intersection(Window(0, 0, height, width))
        if part is not None:
            there = part.shifted(-window.row, -window.col).slices
            image[(slice(None), *there)] = self._image[(slice(None), *part.slices)]
            valid[there] = self._valid[part.slices]
        return image, valid


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    tile = draw(st.integers(4, 30))
    grid = TileGrid(
        draw(st.integers(1, 80)), draw(st.integers(1, 80)), tile, draw(st.integers(0, tile // 2))
    )
    return Layout(grid, CellRange.whole(grid), draw(st.integers(1, 4)), draw(st.integers(1, 4)))


@given(layouts(), st.integers(0, 40), st.integers(0, 60))
def test_each_tile_is_what_its_window_holds(layout: Layout, start: int, width: int) -> None:
    plane = Plane(layout.grid, range(start, start + width))
    tiles = iter(read_tiles(plane, layout))
    for panel in layout.panels():
        for row, col in tiles_of(panel):
            tile = next(tiles)
            image, valid = plane.read(layout.grid.tile(row, col))
            if tile.image is None:
                assert not valid.any()
                assert tile.valid is not None and not tile.valid.any()
                continue
            np.testing.assert_array_equal(tile.image, image)
            assert (tile.valid is None) == valid.all()
            if tile.valid is not None:
                np.testing.assert_array_equal(tile.valid, valid)
    assert next(tiles, None) is None


def test_a_row_of_tiles_is_read_once() -> None:
    grid = TileGrid(100, 1000, 100, 40)
    plane = Plane(grid)
    tiles = list(read_tiles(plane, Layout(grid, CellRange.whole(grid), 1, 100)))
    assert len(tiles) == grid.cols == 16
    assert plane.read_px == 100 * 1000


def test_a_limit_hides_pixels_from_the_result_not_from_the_network() -> None:
    grid = TileGrid(64, 128, 64, 0)
    whole = list(read_tiles(Plane(grid), Layout(grid, CellRange.whole(grid))))

    def left_of_32(window: Window) -> BoolArray:
        cols = np.arange(window.col, window.col_stop)
        return np.broadcast_to(cols < 32, (window.height, window.width))

    limited = list(read_tiles(Plane(grid), Layout(grid, CellRange.whole(grid)), left_of_32))
    np.testing.assert_array_equal(limited[0].image, whole[0].image)
    assert limited[0].valid is not None
    assert limited[0].valid[:, :32].all() and not limited[0].valid[:, 32:].any()
    assert limited[1].image is None
