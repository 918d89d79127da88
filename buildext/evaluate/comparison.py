"""Comparison: the objects of both layers, matched, and counts of them by tile and by group.

A *partition* sorts buildings into groups: by height, by size, by the angle under which their
ground was seen. A match and a miss belong to the group of the true object. A false prediction has
none of its own: the partition says to which it is charged, so that the counts of all groups add up
to the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.bins import Range
from buildext.evaluate.layers import Objects
from buildext.evaluate.matching import (
    Index,
    Matches,
    Overlaps,
    find_overlaps,
    match,
    match_spacenet,
)
from buildext.evaluate.segmentation import Segmentation, segmentation

Count = NDArray[np.int64]
Floats = NDArray[np.float64]

# 0.50, 0.55 … 0.95, as in COCO.
LADDER = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True, slots=True)
class Partition:
    """Groups of buildings.

    Attributes:
        names: `G` names of the groups.
        limits: `G` ranges of what they are grouped by; None for a group without one.
        ref: `(M,)` group of each true object, -1 for none.
        pred: `(N,)` group to which each prediction is charged where it is false, -1 for none.
    """

    names: tuple[str, ...]
    limits: tuple[Range | None, ...]
    ref: Index
    pred: Index


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both layers' objects and what they have in common.

    Attributes:
        pred: the predictions.
        ref: the true objects.
        overlaps: pairs with a common area.
        matches: the matching at the smallest IoU asked for.
        ladder: the matchings at the IoUs of `LADDER`.
        segmentation: splits and merges.
    """

    pred: Objects
    ref: Objects
    overlaps: Overlaps
    matches: Matches
    ladder: tuple[Matches, ...]
    segmentation: Segmentation


def compare(
    pred: Objects,
    ref: Objects,
    min_iou: float,
    *,
    spacenet: bool = False,
    confidence: Floats | None = None,
) -> Comparison:
    """Overlay and match the objects of both layers.

    Args:
        pred: the predictions.
        ref: the true objects.
        min_iou: smallest IoU of a match.
        spacenet: match greedily, as SpaceNet does, instead of optimally.
        confidence: `(N,)` of the predictions, for SpaceNet's rule.
    """
    overlaps = find_overlaps(pred.polygons, ref.polygons)

    def matched(least: float) -> Matches:
        if spacenet:
            return match_spacenet(overlaps, confidence, least)
        return match(overlaps, len(pred.polygons), len(ref.polygons), least)

    return Comparison(
        pred,
        ref,
        overlaps,
        matched(min_iou),
        tuple(matched(least) for least in LADDER),
        segmentation(overlaps, shapely.area(pred.polygons), shapely.area(ref.polygons)),
    )


def verdicts(comparison: Comparison, matches: Matches) -> tuple[NDArray[np.bool_], ...]:
    """Which true objects are found `(M,)` and missed `(M,)`, which predictions are false `(N,)`.

    What the extent cuts off by more than half counts where it is matched, and is nobody's mistake
    where it is not.
    """
    found = np.zeros(len(comparison.ref.polygons), np.bool_)
    found[matches.ref] = True
    false = ~comparison.pred.mostly_outside
    false[matches.pred] = False
    return found, ~found & ~comparison.ref.mostly_outside, false


def count_objects(
    comparison: Comparison,
    matches: Matches,
    pred_unit: Index,
    ref_unit: Index,
    units: int,
    partition: Partition | None = None,
) -> Count:
    """Found, false and missed objects of each group and unit of ground, `(G, U, 3)`.

    Args:
        comparison: the objects.
        matches: one of its matchings.
        pred_unit: `(N,)` unit in which each prediction lies; a match counts in the true object's.
        ref_unit: `(M,)` unit of each true object.
        units: U.
        partition: the groups; None puts all into one.
    """
    found, missed, false = verdicts(comparison, matches)
    groups = 1 if partition is None else len(partition.names)
    counts = np.zeros((groups, units, 3), np.int64)
    for kind, flags, unit, group in (
        (0, found, ref_unit, None if partition is None else partition.ref),
        (1, false, pred_unit, None if partition is None else partition.pred),
        (2, missed, ref_unit, None if partition is None else partition.ref),
    ):
        counted, place = flags, unit
        if group is not None:
            counted, place = flags & (group >= 0), group * units + unit
        counts[..., kind] = np.bincount(place[counted], minlength=groups * units).reshape(
            groups, units
        )
    return counts
