"""Coverage of pixels by polygons."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from buildext.align.template import coverage
from buildext.grid.window import Window

coordinate = st.floats(2, 28, allow_nan=False)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9))
def test_the_sum_is_the_area(corners: list[tuple[float, float]]) -> None:
    shape = shapely.convex_hull(shapely.MultiPoint(corners))
    if shape.geom_type != "Polygon":
        return
    share = coverage(shape, Window(0, 0, 30, 30))
    # Each row of sub-pixels is off by at most half of one at either side.
    assert float(share.sum()) == pytest.approx(shape.area, abs=0.15 * shape.length + 0.1)
    assert ((share >= 0) & (share <= 1)).all()


def test_holes_and_parts_count() -> None:
    ring = shapely.box(1, 1, 9, 9).difference(shapely.box(3, 3, 7, 7))
    both = shapely.MultiPolygon([ring, shapely.box(4, 4, 6, 6)])
    share = coverage(both, Window(0, 0, 10, 10))
    assert share[5, 5] == 1 and share[3, 3] == 0 and share[1, 1] == 1 and share[0, 0] == 0
    assert share.sum() == pytest.approx(both.area)


def test_a_window_cuts_anywhere() -> None:
    shape = shapely.Polygon([(2.3, 1.1), (17.8, 4.2), (9.9, 15.7)])
    whole = coverage(shape, Window(0, 0, 20, 20))
    part = coverage(shape, Window(3, 5, 8, 9))
    assert np.array_equal(part, whole[3:11, 5:14])
    beside = coverage(shape, Window(-4, -5, 24, 25))
    assert np.array_equal(beside[4:, 5:], whole)
