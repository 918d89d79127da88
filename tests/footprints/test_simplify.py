from __future__ import annotations

import numpy as np
import pytest
from shapely import box

from buildext.footprints.shape import ShapeOptions, shape_group
from buildext.footprints.simplify import bevel, pixel_outlines, smooth_outlines
from buildext.footprints.topology import cut_into_arcs
from tests.footprints.shapes import iou, pixels_of, turned


def test_a_staircase_becomes_a_straight_chain():
    steps = np.repeat(np.arange(6.0), 2)
    stairs = np.stack([steps[1:], steps[:-1]], axis=1)
    smooth = bevel(stairs, closed=False)
    assert np.abs(smooth[1:-1, 0] - smooth[1:-1, 1]).max() == pytest.approx(0.5)
    assert smooth[0].tolist() == stairs[0].tolist()
    assert smooth[-1].tolist() == stairs[-1].tolist()


@pytest.mark.parametrize("degrees", [10, 30, 45, 77])
def test_simplified_outlines_have_few_vertices(degrees):
    group = pixels_of(turned(box(0, 0, 50, 30), degrees))
    (shaped,) = shape_group(group, ShapeOptions("simplify"), 0.3)
    assert shaped.reg_status == "simplified"
    assert len(shaped.polygon.exterior.coords) < 14 < len(group[0].polygon.exterior.coords)
    assert iou(shaped.polygon, group[0].polygon) > 0.93


def test_smoothing_takes_an_eighth_of_a_pixel_off_each_corner():
    (smooth,) = smooth_outlines(cut_into_arcs([box(0, 0, 8, 6)]))
    assert smooth.area == pytest.approx(48 - 4 / 8)


def test_pixel_outlines_have_a_vertex_where_a_neighbour_begins():
    large, small = pixel_outlines(cut_into_arcs([box(0, 0, 4, 4), box(4, 1, 8, 3)]))
    assert {(4.0, 1.0), (4.0, 3.0)} <= set(large.exterior.coords)
    assert len(small.exterior.coords) == 5
