"""Splits and merges, by hand."""

from __future__ import annotations

import numpy as np
import shapely

from buildext.evaluate.matching import find_overlaps
from buildext.evaluate.segmentation import Segmentation, segmentation


def found(pred: list[shapely.Polygon], ref: list[shapely.Polygon]) -> Segmentation:
    guess, truth = np.array(pred, dtype=object), np.array(ref, dtype=object)
    return segmentation(find_overlaps(guess, truth), shapely.area(guess), shapely.area(truth))


def test_two_halves_are_a_split() -> None:
    whole = shapely.box(0, 0, 10, 4)
    halves = [shapely.box(0, 0, 5, 4), shapely.box(5, 0, 10, 4), shapely.box(20, 0, 24, 4)]
    split = found(halves, [whole])
    assert (split.pieces.tolist(), split.merged.tolist()) == ([2], [0, 0, 0])
    merge = found([whole], halves)
    assert (merge.pieces.tolist(), merge.merged.tolist()) == ([0, 0, 0], [2])


def test_pieces_that_lie_mostly_outside_or_cover_too_little_are_none() -> None:
    whole = shapely.box(0, 0, 10, 10)
    # Both lie in it, but cover 2 × 8 of 100 m².
    assert found([shapely.box(0, 0, 2, 4), shapely.box(4, 0, 6, 4)], [whole]).pieces.tolist() == [0]
    # Together they cover it, but one has 30 of its 90 m² in it.
    outside = [shapely.box(0, 0, 7, 10), shapely.box(7, 0, 16, 10)]
    assert found(outside, [whole]).pieces.tolist() == [0]


def test_a_perfect_match_is_neither() -> None:
    boxes = [shapely.box(0, 0, 5, 5), shapely.box(5, 0, 10, 5)]
    assert all(not values.any() for values in found(boxes, boxes))
