"""Blending against the plain definition: every pixel is the tapered sum over the tiles on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from buildext.extract.blend import CellRange, Layout, TileResult, blend, tiles_of
from buildext.footprints.raw import Block
from buildext.grid.taper import taper
from buildext.grid.tiling import TileGrid
from buildext.grid.window import Window

CHANNELS = 2


def _probability(grid: TileGrid, row: int, col: int) -> np.ndarray:
    """What a tile says: random, and different from what its neighbours say of the same pixels."""
    random = np.random.default_rng((7, row, col))
    return random.random((CHANNELS, grid.tile_px, grid.tile_px), np.float32)


def _valid(grid: TileGrid, row: int, col: int) -> np.ndarray:
    y, x = np.mgrid[: grid.tile_px, : grid.tile_px] + np.array(
        [row * grid.stride_px, col * grid.stride_px]
    ).reshape(2, 1, 1)
    return (y < grid.height) & (x < grid.width) & ((x * 7 + y * 3) % 11 > 0)


def _results(layout: Layout) -> Iterator[TileResult]:
    for panel in layout.panels():
        for row, col in tiles_of(panel):
            valid = _valid(layout.grid, row, col)
            yield TileResult(_probability(layout.grid, row, col), valid)


def _reference(grid: TileGrid) -> np.ndarray:
    total = np.zeros(
        (
            CHANNELS,
            grid.rows * grid.stride_px + grid.overlap_px,
            grid.cols * grid.stride_px + grid.overlap_px,
        )
    )
    for row in range(grid.rows):
        for col in range(grid.cols):
            y = taper(grid.tile_px, grid.overlap_px, fade_in=row > 0, fade_out=row < grid.rows - 1)
            x = taper(grid.tile_px, grid.overlap_px, fade_in=col > 0, fade_out=col < grid.cols - 1)
            window = grid.tile(row, col)
            total[(slice(None), *window.slices)] += (
                _probability(grid, row, col) * y[:, None] * x[None]
            )
    return total[:, : grid.height, : grid.width]


def _run(layout: Layout) -> tuple[np.ndarray, Window]:
    wanted = layout.cells.window(layout.grid)
    image = np.full((CHANNELS, wanted.height, wanted.width), 77, np.uint8)
    seen = np.zeros((wanted.height, wanted.width), int)
    for block in blend(layout, CHANNELS, _results(layout)):
        assert isinstance(block, Block)
        slices = block.window.shifted(-wanted.row, -wanted.col).slices
        image[(slice(None), *slices)] = block.probability
        seen[slices] += 1
    assert (seen == 1).all()
    return image, wanted


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    tile = draw(st.integers(6, 24))
    overlap = draw(st.integers(0, tile // 2))
    return TileGrid(draw(st.integers(1, 90)), draw(st.integers(1, 90)), tile, overlap)


@settings(max_examples=60)
@given(grids())
def test_blocks_hold_the_tapered_sum(grid: TileGrid) -> None:
    image, _ = _run(Layout(grid, CellRange.whole(grid)))
    expected = _reference(grid) * 255
    y, x = np.mgrid[: grid.height, : grid.width]
    valid = (x * 7 + y * 3) % 11 > 0
    assert np.abs(image - expected * valid).max() <= 0.5 + 1e-3
    assert (image[:, ~valid] == 0).all()


@settings(max_examples=60)
@given(grids(), st.integers(1, 4), st.integers(1, 4))
def test_strips_and_panels_change_nothing(grid: TileGrid, strip: int, panel: int) -> None:
    whole, _ = _run(Layout(grid, CellRange.whole(grid)))
    split, _ = _run(Layout(grid, CellRange.whole(grid), strip, panel))
    np.testing.assert_array_equal(whole, split)


@settings(max_examples=60)
@given(grids(), st.data())
def test_a_block_of_cells_equals_its_part_of_the_whole(grid: TileGrid, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, grid.rows - 1))
    col = data.draw(st.integers(0, grid.cols - 1))
    cells = CellRange(
        row,
        col,
        data.draw(st.integers(row + 1, grid.rows)),
        data.draw(st.integers(col + 1, grid.cols)),
    )
    whole, _ = _run(Layout(grid, CellRange.whole(grid)))
    part, window = _run(Layout(grid, cells, 2, 2))
    np.testing.assert_array_equal(whole[(slice(None), *window.slices)], part)


@given(grids(), st.tuples(*[st.integers(0, 89)] * 2, *[st.integers(1, 60)] * 2))
def test_covering_cells_contain_the_window(grid: TileGrid, box: tuple[int, int, int, int]) -> None:
    inside = Window(*box).intersection(Window(0, 0, grid.height, grid.width))
    if inside is None:
        return
    cells = CellRange.covering(grid, inside).window(grid)
    assert cells.intersection(inside) == inside


def test_a_tile_without_valid_pixels_costs_no_inference_and_gives_zeros() -> None:
    grid = TileGrid(20, 40, 20, 4)
    nothing = np.zeros((20, 20), bool)
    results = [TileResult(None, nothing) for _ in range(grid.rows * grid.cols)]
    blocks = list(blend(Layout(grid, CellRange.whole(grid)), CHANNELS, results))
    assert all(not block.probability.any() and not block.valid.any() for block in blocks)
