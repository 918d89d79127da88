"""Touching buildings: are walls that two houses share seen as walls?

Where houses stand wall to wall, a mask of buildings can be perfect and every building wrong. A
*touching pair* is two true buildings no farther apart than `GAP_M`. Each building's *main*
prediction is the one that covers most of it, at least half. A pair is *found* where both buildings
have one, and *kept apart* where these are two different ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.layers import Objects
from buildext.evaluate.matching import Index, Overlaps
from buildext.evaluate.ratios import ratio

# Rows of houses are drawn with gaps of a few decimetres, and with overlaps.
GAP_M = 0.5
_HALF = 0.5 - 1e-9


@dataclass(frozen=True, slots=True)
class TouchingScores:
    """Pairs of true buildings that touch.

    Attributes:
        gap_m: how far apart two buildings of a pair may be, in metres.
        pairs: all of them.
        found: those of which both buildings are covered by a prediction.
        apart: those of which the predictions are two.
        share: `apart / found`; None where none is found.
    """

    gap_m: float
    pairs: int
    found: int
    apart: int
    share: float | None


def touching_scores(ref: Objects, overlaps: Overlaps) -> TouchingScores:
    """Count the touching pairs of true objects that lie mostly inside of the extent.

    Args:
        ref: the true objects, `M`.
        overlaps: what they share with predictions.
    """
    first, second = touching_pairs(ref.polygons)
    inside = ~(ref.mostly_outside[first] | ref.mostly_outside[second])
    main = main_predictions(overlaps, shapely.area(ref.polygons))
    one, two = main[first[inside]], main[second[inside]]
    found = (one >= 0) & (two >= 0)
    apart = int((found & (one != two)).sum())
    return TouchingScores(GAP_M, len(one), int(found.sum()), apart, ratio(apart, int(found.sum())))


def touching_pairs(polygons: NDArray[np.object_]) -> tuple[Index, Index]:
    """Indices of the polygons of each pair no farther apart than `GAP_M`, each pair once."""
    tree = shapely.STRtree(polygons)
    first, second = tree.query(polygons, predicate="dwithin", distance=GAP_M)
    once = first < second
    return first[once], second[once]


def main_predictions(overlaps: Overlaps, ref_area_m2: NDArray[np.float64]) -> Index:
    """`(M,)` index of the prediction that covers most of each true object; -1 below a half."""
    main = np.full(len(ref_area_m2), -1, np.intp)
    # The largest comes last and stays; of equal ones the first.
    order = np.lexsort((-overlaps.pred, overlaps.area_m2))
    main[overlaps.ref[order]] = overlaps.pred[order]
    most = np.zeros(len(ref_area_m2))
    most[overlaps.ref[order]] = overlaps.area_m2[order]
    main[most < _HALF * ref_area_m2] = -1
    return main
