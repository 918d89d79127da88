from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from buildext.footprints.separate import SeparationOptions
from buildext.grid.window import Window
from buildext.mosaic import majority
from buildext.mosaic.majority import PagedSources, majority_source
from tests.footprints.conftest import assembled, fields


def window_of(numbers: NDArray[np.uint16], window: Window) -> NDArray[np.uint16]:
    """A window that may hang over the array's edge, 0 outside."""
    framed = np.pad(numbers, 64)
    return framed[window.shifted(64, 64).slices]


@given(
    data=st.data(),
    kinds=st.integers(1, 4),
    page_px=st.integers(3, 50),
    strip_px=st.sampled_from([1, 60, 10_000]),
)
def test_is_the_most_frequent_number_of_the_building(
    data: st.DataObject, kinds: int, page_px: int, strip_px: int
) -> None:
    probability, valid = data.draw(fields(40))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    smooth = ndimage.gaussian_filter(random.standard_normal(valid.shape), 2)
    ranks = np.digitize(smooth, np.quantile(smooth, np.linspace(0, 1, kinds + 1)[1:-1])) + 1
    numbers = (ranks * valid).astype(np.uint16)
    groups = assembled(probability, SeparationOptions(contact_threshold_u8=None), valid)
    polygons = [building.polygon for group in groups for building in group]
    y, x = np.mgrid[: valid.shape[0], : valid.shape[1]]
    expected = [
        np.bincount(numbers[shapely.contains_xy(polygon, x + 0.5, y + 0.5)]).argmax()
        for polygon in polygons
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(majority, "_STRIP_PX", strip_px)
        paged = PagedSources(lambda window: window_of(numbers, window), page_px)
        assert majority_source(polygons, paged).tolist() == expected


def test_of_two_the_lower_number_and_none_without_a_file() -> None:
    numbers = np.array([[2, 2, 1, 1], [0, 0, 0, 0]], np.uint16)
    boxes = [shapely.box(0, 0, 4, 1), shapely.box(0, 0, 3, 2), shapely.box(0, 1, 4, 2)]
    found = majority_source(boxes, lambda window: window_of(numbers, window))
    assert found.tolist() == [1, 2, 0]


def test_pages_are_read_once_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(64, dtype=np.uint16).reshape(8, 8)
    read: list[Window] = []

    def look(window: Window) -> NDArray[np.uint16]:
        read.append(window)
        return window_of(numbers, window)

    monkeypatch.setattr(majority, "_PAGES_KEPT", 2)
    paged = PagedSources(look, 4)
    np.testing.assert_array_equal(paged(Window(0, 2, 3, 4)), numbers[:3, 2:6])
    np.testing.assert_array_equal(paged(Window(1, 1, 1, 1)), numbers[1:2, 1:2])
    assert len(read) == 2
    paged(Window(4, 0, 1, 1))
    paged(Window(0, 4, 1, 1))
    assert len(read) == 4
