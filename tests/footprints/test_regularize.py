from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from buildext.footprints.boundary import Boundary, fit_offsets
from buildext.footprints.cheapest import Options, cheapest
from buildext.footprints.directions import QUARTER, find_frames, fit_frames, signed
from buildext.footprints.regularize import prepare
from buildext.footprints.topology import cut_into_arcs
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


Possible = tuple[int, int, int, float, float]
"""Chain, first and last corner, heading and cost of a possible wall."""


def options_of(walls: list[Possible]) -> Options:
    chain, begin, end, heading, cost = (np.array(values) for values in zip(*walls, strict=True))
    return Options(chain, begin, end, heading, cost, np.zeros(len(walls), dtype=np.int64))


def may_follow(heading: float, before: float) -> bool:
    turn = math.degrees(abs((heading - before + math.pi) % (2 * math.pi) - math.pi))
    return 12 <= turn <= 176


def least_cost(walls: list[Possible], last: int, *, closed: bool) -> float:
    """The least cost from corner 0 to the last, by trying all sequences."""

    def costs(place: int, before: list[Possible]) -> Iterator[float]:
        if place == last:
            if not closed or may_follow(before[0][3], before[-1][3]):
                yield sum(wall[4] for wall in before)
            return
        for wall in walls:
            if wall[1] == place and (not before or may_follow(wall[3], before[-1][3])):
                yield from costs(wall[2], [*before, wall])

    return min(costs(0, []), default=math.inf)


@st.composite
def possible_walls(draw, chain: int) -> tuple[list[Possible], int, bool]:
    last = draw(st.integers(1, 4))
    pairs = [(a, b) for a in range(last) for b in range(a + 1, last + 1)]
    walls = [
        (chain, a, b, heading, draw(st.integers(0, 9)) / 2)
        for a, b in pairs
        for heading in draw(st.lists(st.sampled_from([0, QUARTER, 2 * QUARTER, 3.3]), unique=True))
    ]
    return walls, last, draw(st.booleans())


@given(chains=st.tuples(*(possible_walls(chain) for chain in range(3))))
def test_the_cheapest_walls_are_as_cheap_as_any_that_turn(chains):
    walls = [wall for here, _, _ in chains for wall in here]
    last = np.array([last for _, last, _ in chains])
    closed = np.array([closed for _, _, closed in chains])
    if not walls:
        return
    found = cheapest(options_of(walls), last, closed)
    for (here, last, closed), way in zip(chains, found, strict=True):
        least = least_cost(here, last, closed=closed)
        if not len(way):
            assert least == math.inf
            continue
        taken = [walls[number] for number in way]
        assert sum(wall[4] for wall in taken) == least
        assert (taken[0][1], taken[-1][2]) == (0, last)
        for before, after in pairwise([*taken, taken[0]] if closed else taken):
            assert may_follow(after[3], before[3])


def test_no_way_from_end_to_end_gives_no_walls():
    options = options_of([(0, 0, 1, 0.0, 1.0), (0, 1, 2, 0.0, 1.0)])
    (found,) = cheapest(options, np.array([2]), np.array([False]))
    assert not len(found)


def test_walls_cover_a_ring_without_gaps():
    group = pixels_of(turned(box(0, 0, 40, 25), 20))
    draft = prepare(cut_into_arcs([b.polygon for b in group]), "right-angles", 2.0)
    (walls,) = draft.walls
    assert [wall.stop for wall in walls[:-1]] == [wall.start for wall in walls[1:]]
    assert walls[0].start == 0
    assert walls[-1].stop == len(draft.boundary.middles_xy)
