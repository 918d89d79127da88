"""The ground plan: streets between blocks, parks beyond, and no seam between its squares."""

from __future__ import annotations

import numpy as np
import shapely

from buildext.simulate.plan import FARTHEST_M, OPEN_M, Plan

GSD_M = 0.5


def plan(boxes_m: list[tuple[float, float, float, float]]) -> Plan:
    outlines = shapely.box(*(np.array(boxes_m).T / GSD_M))
    return Plan(np.atleast_1d(outlines), GSD_M, seed=4)


def test_distances_are_those_of_the_footprints() -> None:
    fields = plan([(100, 100, 120, 140)]).read(60, 60, 120, 100)
    # The cell (row 120, column 130) has its middle 10.5 m right of the wall.
    assert fields.wall_m[60, 70] == 11.0
    assert fields.wall_m[60, 50] == 0.0
    assert (fields.street_m[45:75, 42:58] < 0).all()


def test_gaps_up_to_fourteen_metres_belong_to_the_block() -> None:
    near = plan([(100, 100, 120, 160), (132, 100, 150, 160)]).read(125, 120, 10, 12)
    assert (near.street_m < 0).all()
    far = plan([(100, 100, 120, 160), (140, 100, 160, 160)]).read(125, 123, 10, 14)
    assert (far.street_m > 0).all() and far.street_m.max() < 11


def test_open_ground_begins_beyond_a_street_of_one_side() -> None:
    fields = plan([(100, 100, 120, 200)]).read(145, 120, 1, 60)
    assert (np.diff(fields.street_m[0]) > -0.01).all()
    assert fields.street_m[0, 5] < OPEN_M < fields.street_m[0, 14]
    assert fields.street_m[0, 55:].max() <= FARTHEST_M


def test_squares_meet_without_a_seam() -> None:
    rng = np.random.default_rng(1)
    west, north = rng.uniform(380, 640, (2, 40))
    boxes = np.column_stack([west, north, west + 15, north + 12])
    fields = plan([tuple(box) for box in boxes]).read(480, 480, 64, 64)
    # A distance changes by no more than the way gone, across the seam at 512 as anywhere.
    for axis in (0, 1):
        assert np.abs(np.diff(fields.wall_m, axis=axis)).max() <= 1.0 + 1e-6
    alone = plan([tuple(box) for box in boxes]).read(500, 505, 20, 20)
    assert (alone.street_m == fields.street_m[20:40, 25:45]).all()


def test_where_nothing_stands_there_is_open_ground() -> None:
    fields = plan([(100, 100, 120, 120)]).read(2000, 2000, 8, 8)
    assert (fields.street_m == FARTHEST_M).all() and not fields.density.any()
