from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildext.grid.taper import taper
from buildext.grid.tiling import TileGrid
from buildext.grid.window import Window


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    tile = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, tile // 2))
    return TileGrid(draw(st.integers(1, 150)), draw(st.integers(1, 150)), tile, overlap)


@given(grids())
def test_cells_partition_the_raster(grid: TileGrid) -> None:
    count = np.zeros((grid.height, grid.width), int)
    for row in range(grid.rows):
        for col in range(grid.cols):
            count[grid.cell(row, col).slices] += 1
    assert (count == 1).all()


@given(grids())
def test_tapers_cover_every_pixel_with_weight_one(grid: TileGrid) -> None:
    for length, tiles in ((grid.height, grid.rows), (grid.width, grid.cols)):
        total = np.zeros(tiles * grid.stride_px + grid.overlap_px, np.float32)
        for index in range(tiles):
            weights = taper(
                grid.tile_px, grid.overlap_px, fade_in=index > 0, fade_out=index < tiles - 1
            )
            start = index * grid.stride_px
            total[start : start + grid.tile_px] += weights
        assert len(total) >= length
        np.testing.assert_allclose(total, 1, atol=1e-6)


@given(grids())
def test_a_cell_is_touched_only_by_its_tile_and_the_neighbours_before_it(grid: TileGrid) -> None:
    row, col = grid.rows // 2, grid.cols // 2
    cell = grid.cell(row, col)
    touching = {
        (r, c)
        for r in range(grid.rows)
        for c in range(grid.cols)
        if grid.tile(r, c).intersection(cell)
    }
    assert touching <= {(row - dr, col - dc) for dr in (0, 1) for dc in (0, 1)}


@given(grids())
def test_no_tile_row_is_superfluous(grid: TileGrid) -> None:
    assert grid.tile(grid.rows - 1, 0).row_stop >= grid.height
    if grid.rows > 1:
        assert grid.tile(grid.rows - 2, 0).row_stop < grid.height


def test_an_overlap_above_half_a_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap of 9 px"):
        TileGrid(10, 10, 16, 9)
    with pytest.raises(ValueError, match="positive"):
        TileGrid(0, 10, 16, 4)


@given(st.tuples(*[st.integers(-20, 20)] * 2, *[st.integers(1, 20)] * 2), st.integers(0, 5))
def test_window_algebra_agrees_with_sets_of_pixels(
    box: tuple[int, int, int, int], margin: int
) -> None:
    def pixels(window: Window) -> set[tuple[int, int]]:
        return {
            (r, c)
            for r in range(window.row, window.row_stop)
            for c in range(window.col, window.col_stop)
        }

    one, other = Window(*box), Window(-3, 2, 11, 7)
    common = one.intersection(other)
    assert (pixels(common) if common else set()) == pixels(one) & pixels(other)
    assert pixels(one) <= pixels(one.padded(margin))
    assert len(pixels(one)) == one.pixels
    assert one.shifted(4, -2).shifted(-4, 2) == one
