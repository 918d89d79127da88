from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import box

from buildext.footprints.topology import cut_into_arcs
from tests.footprints.shapes import blobs, group_of


def test_a_building_alone_is_one_ring():
    topology = cut_into_arcs([box(0, 0, 4, 3)])
    (arc,) = topology.arcs
    assert arc.closed
    assert arc.owners == (0,)
    assert len(arc.points_xy) == 2 * (4 + 3) + 1


def test_a_party_wall_belongs_to_both_and_is_kept_once():
    topology = cut_into_arcs([box(0, 0, 4, 4), box(4, 1, 8, 6)])
    owners = sorted(arc.owners for arc in topology.arcs)
    assert owners == [(0,), (0, 1), (1,)]
    shared = next(arc for arc in topology.arcs if len(arc.owners) == 2)
    assert {tuple(p) for p in shared.points_xy} == {(4, 1), (4, 2), (4, 3), (4, 4)}
    assert {tuple(p) for p in topology.nodes_xy} == {(4, 1), (4, 4)}


def test_a_building_in_a_courtyard_shares_the_whole_ring():
    yard = box(2, 2, 6, 6)
    topology = cut_into_arcs([box(0, 0, 8, 8).difference(yard), yard])
    assert sorted(arc.owners for arc in topology.arcs) == [(0,), (0, 1)]
    assert all(arc.closed for arc in topology.arcs)


def test_shelves_keep_groups_apart():
    topology = cut_into_arcs([box(0, 0, 4, 4), box(4, 0, 8, 4)], np.array([0, 6]))
    assert [arc.owners for arc in topology.arcs] == [(0,), (1,)]


@pytest.mark.parametrize("seed", range(6))
def test_arcs_put_together_are_the_buildings_again(seed):
    polygons = [building.polygon for building in group_of(blobs(seed, 64, 5))]
    topology = cut_into_arcs(polygons)
    again = topology.outlines([arc.points_xy for arc in topology.arcs])
    assert all(a.equals(b) for a, b in zip(polygons, again, strict=True))
    cracks = sum(len(arc.points_xy) - 1 for arc in topology.arcs)
    both = sum(p.length for p in polygons)
    assert cracks == pytest.approx((both + shapely.union_all(polygons).length) / 2)
