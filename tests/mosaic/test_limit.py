"""The area of interest, drawn once for each block."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from buildext.errors import InputError
from buildext.grid.window import Window
from buildext.mosaic.grid import FIRST_BLOCK, BlockId
from buildext.mosaic.limit import LimitMask, find_limits
from tests.mosaic.rasters import grid_of

BLOCK_PX, ACROSS = 36, 3
GRID = grid_of(BLOCK_PX)
BLOCKS = [BlockId(FIRST_BLOCK + r, FIRST_BLOCK + c) for r in range(ACROSS) for c in range(ACROSS)]
FIRST = GRID.window(BLOCKS[0])
WHOLE = Window(FIRST.row, FIRST.col, ACROSS * BLOCK_PX, ACROSS * BLOCK_PX)


def placed(*outlines_px: list[tuple[float, float]]) -> np.ndarray:
    """Polygons in the CRS, from corners in pixels of the first block."""
    transform = GRID.transform_of(WHOLE)
    return np.array([shapely.Polygon([transform @ xy for xy in one]) for one in outlines_px])


def box_px(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def drawn(polygons: np.ndarray) -> np.ndarray:
    """All blocks at one go."""
    shape = (WHOLE.height, WHOLE.width)
    return rasterize(polygons, shape, transform=GRID.transform_of(WHOLE), dtype="uint8") > 0


corner = st.tuples(st.floats(-20, 130), st.floats(-20, 130))
triangle = st.lists(corner, min_size=3, max_size=5)


@settings(deadline=None, max_examples=60)
@given(st.lists(triangle, min_size=1, max_size=3))
def test_blocks_together_show_the_area(outlines: list[list[tuple[float, float]]]) -> None:
    """Outlines may cross themselves and each other."""
    polygons = placed(*outlines)
    expected = drawn(polygons)
    found = find_limits(polygons, GRID, BLOCKS)
    for block in BLOCKS:
        window = GRID.window(block)
        part = expected[window.shifted(-WHOLE.row, -WHOLE.col).slices]
        if block not in found:
            assert not part.any()
            continue
        limit = found[block]
        if limit is None:
            assert part.all()
            continue
        mask = LimitMask(limit)
        np.testing.assert_array_equal(mask(window), part)
        # Beyond the block there is nothing, whatever the area says.
        around = Window(window.row - 5, window.col - 11, BLOCK_PX + 9, BLOCK_PX + 30)
        assert mask(around).sum() == part.sum()
        np.testing.assert_array_equal(mask(around)[5:-4, 11:-19], part)
        odd = Window(window.row + 3, window.col + 7, 9, 13)
        np.testing.assert_array_equal(mask(odd), part[3:12, 7:20])
        assert mask(limit.inside).sum() == part.sum()
        rows, cols = np.nonzero(part)
        assert limit.inside.height == np.ptp(rows) + 1 and limit.inside.width == np.ptp(cols) + 1


def test_a_change_elsewhere_changes_nothing_here() -> None:
    before = find_limits(placed(box_px(10, 10, 60, 20)), GRID, BLOCKS)
    after = find_limits(placed(box_px(10, 10, 70, 20)), GRID, BLOCKS)
    one, two = BLOCKS[:2]
    assert set(before) == set(after) == {one, two}
    assert before[one] == after[one] and before[two] != after[two]


def test_districts_side_by_side_cover_a_block() -> None:
    half = placed(box_px(-1, -1, 17.3, 40), box_px(17.3, -1, 40, 40))
    assert find_limits(half, GRID, BLOCKS[:1]) == {BLOCKS[0]: None}


def test_a_sliver_between_pixels_holds_no_block() -> None:
    assert find_limits(placed(box_px(3.6, 3.6, 4.4, 30)), GRID, BLOCKS) == {}


def test_an_area_without_a_place_is_refused() -> None:
    nowhere = np.array([shapely.Polygon([(0, 0), (np.inf, 0), (0, 1)])])
    with pytest.raises(InputError, match="cannot be carried"):
        find_limits(nowhere, GRID, BLOCKS)
