from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from buildext.footprints.boundary import Boundary, fit_offsets
from buildext.footprints.directions import QUARTER, find_frames, fit_frames, signed
from buildext.footprints.regularize import prepare
from buildext.footprints.topology import cut_into_arcs
from buildext.footprints.walls import cheapest
from tests.footprints.shapes import pixels_of, turned


@given(angle=st.floats(0, 1.57), other=st.floats(0.3, 1.2))
def test_the_frame_of_long_edges_wins(angle, other):
    directions = [angle, angle + QUARTER, angle + 2 * QUARTER, angle + other]
    lengths = [40, 25, 40, 8]
    edges = np.array(
        [(n * math.cos(a), n * math.sin(a)) for n, a in zip(lengths, directions, strict=True)]
    )
    ((found,),) = find_frames(edges, np.zeros(4, dtype=np.int64), 1)
    assert abs(signed(found - angle)) < math.radians(1)


@given(angle=st.floats(0.0, 1.57))
def test_a_frame_is_fitted_exactly_to_straight_walls(angle):
    turns = np.array([0.0, QUARTER, 0.0])
    heading = angle + turns
    lengths = np.array([30.0, 10.0, 20.0])
    cos, sin = np.cos(heading), np.sin(heading)
    fitted = fit_frames(
        np.zeros(3, dtype=np.int64), turns, lengths * cos**2, lengths * cos * sin, lengths * sin**2
    )
    assert abs(signed(float(fitted[0]) - angle)) < 1e-9


def test_the_best_line_through_a_flat_stretch():
    chain = np.array([(x, 7.0) for x in range(11)])
    boundary = Boundary.of([chain])
    sums = boundary.sums(np.array([0]), np.array([10]))
    length, offset, error = fit_offsets(sums, np.array([1.0]), np.array([0.0]))
    assert length == pytest.approx(10)
    assert offset == pytest.approx(7)
    assert error == pytest.approx(0, abs=1e-9)


def test_the_cheapest_walls_turn_at_every_corner():
    east, south = 0.0, QUARTER
    options = [
        (0, 1, east, 1.0, 0),
        (0, 2, south, 9.0, 1),
        (1, 2, east, 0.1, 0),
        (1, 2, south, 2.0, 1),
        (2, 3, east, 1.0, 0),
    ]
    found = cheapest(options, 3, closed=False)
    assert [option[2] for option in found] == [east, south, east]


def test_no_way_from_end_to_end_gives_no_walls():
    assert cheapest([(0, 1, 0.0, 1.0, 0), (1, 2, 0.0, 1.0, 0)], 2, closed=False) == []


def test_walls_cover_a_ring_without_gaps():
    group = pixels_of(turned(box(0, 0, 40, 25), 20))
    draft = prepare(cut_into_arcs([b.polygon for b in group]), "right-angles", 2.0)
    (walls,) = draft.walls
    assert [wall.stop for wall in walls[:-1]] == [wall.start for wall in walls[1:]]
    assert walls[0].start == 0
    assert walls[-1].stop == len(draft.boundary.middles_xy)
