"""Pairs that touch, by hand."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate

from buildext.evaluate.layers import prepare_objects
from buildext.evaluate.matching import find_overlaps
from buildext.evaluate.touching import TouchingScores, touching_scores

# Four houses wall to wall, 5 m wide, and one that stands 2 m off.
ROW = [shapely.box(5 * i, 0, 5 * i + 5, 8) for i in range(4)]
APART = shapely.box(22, 0, 27, 8)


def scores(
    pred: list[shapely.Polygon], ref: list[shapely.Polygon], extent: float = 100
) -> TouchingScores:
    region = shapely.box(-extent, -extent, extent, extent)
    guess = prepare_objects(np.array(pred, dtype=object), region)
    truth = prepare_objects(np.array(ref, dtype=object), region)
    return touching_scores(truth, find_overlaps(guess.polygons, truth.polygons))


def test_the_truth_keeps_all_apart() -> None:
    found = scores([*ROW, APART], [*ROW, APART])
    assert (found.pairs, found.found, found.apart, found.share) == (3, 3, 3, 1.0)


def test_one_outline_around_a_row_keeps_none_apart() -> None:
    found = scores([shapely.union_all(ROW)], ROW)
    assert (found.pairs, found.found, found.apart, found.share) == (3, 3, 0, 0.0)


def test_two_halves_of_a_row_keep_one_pair_apart() -> None:
    halves = [shapely.box(0, 0, 10, 8), shapely.box(10, 0, 20, 8)]
    assert scores(halves, ROW).apart == 1


def test_a_house_that_is_not_half_covered_is_not_found() -> None:
    found = scores([ROW[0], shapely.box(5, 0, 7, 8)], ROW[:2])
    assert (found.pairs, found.found, found.share) == (1, 0, None)


def test_a_house_in_two_pieces_is_kept_apart_by_the_larger() -> None:
    pieces = [shapely.box(0, 0, 5, 3), shapely.box(0, 3, 5, 8), shapely.box(5, 0, 10, 8)]
    assert scores(pieces, ROW[:2]).apart == 1


def test_gaps_of_half_a_metre_count_and_wider_ones_do_not() -> None:
    for gap_m, pairs in ((0.4, 1), (0.6, 0)):
        two = [ROW[0], translate(ROW[1], gap_m)]
        assert scores(two, two).pairs == pairs


def test_a_pair_of_which_one_lies_outside_is_left_out() -> None:
    assert scores(ROW, ROW, extent=12).pairs == 1


def test_without_predictions_nothing_is_found() -> None:
    found = scores([], ROW)
    assert (found.pairs, found.found, found.share) == (3, 0, None)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=3, max_size=9))
def test_as_many_pairs_are_apart_as_there_are_walls_between_predictions(walls: list[bool]) -> None:
    houses = [shapely.box(5 * i, 0, 5 * i + 5, 8) for i in range(len(walls) + 1)]
    parts = [[houses[0]]]
    for wall, house in zip(walls, houses[1:], strict=True):
        if wall:
            parts.append([house])
        else:
            parts[-1].append(house)
    found = scores([shapely.union_all(part) for part in parts], houses)
    assert (found.pairs, found.apart) == (len(walls), sum(walls))
