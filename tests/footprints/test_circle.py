from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import Polygon, box

from buildext.footprints.boundary import Boundary
from buildext.footprints.circle import fit_circle, likely_circles
from buildext.footprints.topology import cut_into_arcs
from tests.footprints.shapes import pixels_of, turned


def boundary_of(polygon: Polygon) -> Boundary:
    (raw,) = pixels_of(polygon)
    return Boundary.of([arc.points_xy for arc in cut_into_arcs([raw.polygon]).arcs])


@pytest.mark.parametrize("radius", [7, 11.5, 30, 90])
def test_discs_are_round(radius):
    boundary = boundary_of(shapely.Point(100, 100).buffer(radius))
    assert likely_circles(boundary).all()
    ring = fit_circle(boundary.middles_xy, 2.0)
    assert ring is not None
    radii = np.hypot(*(ring - 100).T)
    assert radii == pytest.approx(radius, abs=0.5)


@pytest.mark.parametrize("degrees", [0, 15, 30, 45])
@pytest.mark.parametrize("size", [(14, 14), (30, 30), (40, 30), (90, 90)])
def test_rectangles_are_not(size, degrees):
    boundary = boundary_of(turned(box(0, 0, *size), degrees, 80))
    assert not likely_circles(boundary).all() or fit_circle(boundary.middles_xy, 2.0) is None


def test_a_few_pixels_are_not_round():
    assert fit_circle(boundary_of(shapely.Point(20, 20).buffer(3)).middles_xy, 2.0) is None
