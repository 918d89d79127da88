from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from buildext.grid.window import Window
from buildext.mosaic.ownership import Page, Pages, find_owned


def owned_pixels(
    building: NDArray[np.bool_], block: Window, page_px: int
) -> tuple[NDArray[np.bool_], list[Window]]:
    """The pixels that a block owns, and the windows that were read for it."""
    pages = Pages(block, *building.shape, page_px)
    read: list[Window] = []

    def look(window: Window) -> NDArray[np.bool_]:
        read.append(window)
        return building[window.slices]

    mine = np.zeros_like(building)
    found: dict[Page, NDArray[np.bool_]] = find_owned(pages, look)
    for page, owned in found.items():
        window = pages.window(page)
        assert window is not None
        mine[window.slices] = owned[ndimage.label(building[window.slices])[0]]
    assert len({(w.row, w.col) for w in read}) == len(read)
    return mine, read


@given(data=st.data(), page_px=st.integers(2, 17), smooth=st.sampled_from([0.0, 0.6, 1.5]))
def test_every_patch_belongs_to_the_block_of_its_first_pixel(
    data: st.DataObject, page_px: int, smooth: float
) -> None:
    size = data.draw(st.integers(1, 12))
    rows, cols = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    field = ndimage.gaussian_filter(random.standard_normal((rows * size, cols * size)), smooth)
    building = field > data.draw(st.sampled_from([-0.3, 0.0, 0.3])) * field.std()
    labels, count = ndimage.label(building)
    first = [np.flatnonzero(labels == label)[0] for label in range(1, count + 1)]
    for row in range(rows):
        for col in range(cols):
            block = Window(row * size, col * size, size, size)
            mine, _ = owned_pixels(building, block, page_px)
            inside = np.zeros_like(building)
            inside[block.slices] = True
            expected = [label for label, at in enumerate(first, 1) if inside.flat[at]]
            np.testing.assert_array_equal(mine, np.isin(labels, expected))


def test_of_what_lies_above_only_one_row_is_read() -> None:
    building = np.zeros((60, 60), np.bool_)
    building[5:50, 25] = True
    mine, read = owned_pixels(building, Window(20, 20, 20, 20), 10)
    assert not mine.any()
    assert min(window.row for window in read) == 19
    assert [window for window in read if window.row == 19] == [Window(19, 20, 1, 10)]
    assert sum(window.pixels for window in read) == 20 * 20 + 10


def test_a_patch_is_followed_below_and_beside_but_not_once_it_is_somebody_elses() -> None:
    building = np.zeros((100, 100), np.bool_)
    building[25, 25:95] = building[25:95, 94] = True
    mine, read = owned_pixels(building, Window(20, 20, 20, 20), 10)
    np.testing.assert_array_equal(mine, building)
    assert (read[-1].row_stop - 6, read[-1].col_stop - 6) == (94, 94)
    mine, read = owned_pixels(building, Window(60, 80, 20, 20), 10)
    assert not mine.any()
    assert sum(window.pixels for window in read) == 20 * 20 + 10


@pytest.mark.parametrize("page_px", [7, 64])
def test_a_snake_through_the_whole_raster_has_one_owner(page_px: int) -> None:
    building = np.zeros((64, 64), np.bool_)
    building[2:62:4] = True
    for turn, row in enumerate(range(2, 58, 4)):
        building[row : row + 4, 63 if turn % 2 else 0] = True
    owners = []
    for row in range(0, 64, 16):
        for col in range(0, 64, 16):
            mine, _ = owned_pixels(building, Window(row, col, 16, 16), page_px)
            if mine.any():
                owners.append((row, col))
                np.testing.assert_array_equal(mine, building)
    assert owners == [(0, 0)]
