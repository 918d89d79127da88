"""Corners between walls, also where walls in between had to be given up."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from buildext.footprints.lines import Line, closed_line, meet, open_line

# One frame, and walls that follow none: among them some almost along the frame.
HEADINGS = [0.0, 90.0, 180.0, 270.0, 8.0, 98.0, 45.0, 200.0]


def wall(heading: float, offset_px: float, length_px: float, x: float = 0, y: float = 0) -> Line:
    turn = math.radians(heading)
    return Line(math.cos(turn), math.sin(turn), offset_px, length_px, x, y, heading % 90 != 0)


@st.composite
def walks(draw: st.DrawFn) -> list[Line]:
    """The walls of a walk that turns at every corner, fitted with errors."""
    x = y = 0.0
    headings = draw(st.lists(st.sampled_from(HEADINGS), min_size=1, max_size=14))
    found = []
    for n, heading in enumerate(headings):
        if n and heading == headings[n - 1]:
            continue
        length = draw(st.floats(1, 30))
        turn = math.radians(heading)
        offset = math.cos(turn) * y - math.sin(turn) * x + draw(st.floats(-4, 4))
        found.append(wall(heading, offset, length, x, y))
        x, y = x + length * math.cos(turn), y + length * math.sin(turn)
    return found


@given(walks(), st.floats(-40, 40), st.floats(-40, 40))
def test_any_walls_make_a_line_between_its_nodes(walls: list[Line], x: float, y: float) -> None:
    start, end = np.array([0.0, 0.0]), np.array([x, y])
    line = open_line(walls, start, end)
    assert np.isfinite(line).all() and line.shape[1] == 2 and len(line) >= 2
    assert (line[0] == start).all() and (line[-1] == end).all()


@given(walks())
def test_any_walls_make_a_ring(walls: list[Line]) -> None:
    if len(walls) < 4:
        return
    ring = closed_line(walls)
    assert np.isfinite(ring).all() and (ring[0] == ring[-1]).all()


def test_walls_left_side_by_side_become_one() -> None:
    # East, a little north of east, a step back that the fit turned around, east: with the step the
    # second wall goes, and the first and the last would be neighbours in one direction.
    walls = [
        wall(0, 0.0, 20),
        wall(8, 2.0, 5, 20, 0),
        wall(270, 26.0, 2, 25, 1),
        wall(0, 4.0, 30, 26, 3),
        wall(90, -56.0, 10, 56, 4),
    ]
    line = open_line(walls, np.array([0.0, 0.0]), np.array([56.0, 14.0]))
    steps = [(b - a) for a, b in pairwise(line)]
    assert len(line) == 3
    assert abs(steps[0][1]) < 1e-9 and abs(steps[1][0]) < 1e-9


def test_two_walls_in_one_direction_meet_halfway() -> None:
    x, y = meet(wall(0, 1.0, 5), wall(0, 3.0, 5, 7, 2))
    assert (x, y) == (7.0, 2.0)
