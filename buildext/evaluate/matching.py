"""Matching: which predicted object is which true one.

Two objects may match where their intersection over union reaches a threshold. Every object matches
at most once, and among all such pairings the one with the most matches is taken, the one with the
largest sum of IoUs among those. That optimum belongs to the two sets, not to the order of their
rows. (Above IoU 0.5 and without overlaps inside a layer only one pairing exists; a lower threshold
or overlapping predictions make the choice real.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Index = NDArray[np.intp]

# An IoU of exactly the threshold matches, whatever the reprojection did to its last digits.
_IOU_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Pairs of objects that share area.

    Attributes:
        pred: `(P,)` index of the predicted object.
        ref: `(P,)` index of the true object.
        area_m2: `(P,)` float64 area of their intersection.
        iou: `(P,)` float64 intersection over union.
    """

    pred: Index
    ref: Index
    area_m2: NDArray[np.float64]
    iou: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matches:
    """A one-to-one matching.

    Attributes:
        pred: `(M,)` indices of the matched predictions.
        ref: `(M,)` indices of their references.
        iou: `(M,)` float64.
    """

    pred: Index
    ref: Index
    iou: NDArray[np.float64]


def find_overlaps(pred: NDArray[np.object_], ref: NDArray[np.object_]) -> Overlaps:
    """All pairs of a predicted and a true object with a common area.

    Args:
        pred: `(N,)` valid polygons in the ground plane.
        ref: `(M,)` valid polygons in the ground plane.
    """
    rows, cols = shapely.STRtree(ref).query(pred, predicate="intersects")
    shared = shapely.area(shapely.intersection(pred[rows], ref[cols]))
    rows, cols, shared = rows[shared > 0], cols[shared > 0], shared[shared > 0]
    union = shapely.area(pred)[rows] + shapely.area(ref)[cols] - shared
    order = np.lexsort((cols, rows))
    return Overlaps(rows[order], cols[order], shared[order], (shared / union)[order])


def match(overlaps: Overlaps, n_pred: int, n_ref: int, min_iou: float) -> Matches:
    """The matching with the most pairs, then the largest sum of IoUs.

    Solved exactly in each connected component of the candidate pairs; nearly all of them are a
    single pair.

    Args:
        overlaps: pairs of objects with a common area.
        n_pred: number of predicted objects.
        n_ref: number of true objects.
        min_iou: smallest IoU of a match.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    good = overlaps.iou >= min_iou - _IOU_SLACK
    pred, ref, iou = overlaps.pred[good], overlaps.ref[good], overlaps.iou[good]
    nodes = n_pred + n_ref
    graph = coo_array((np.ones(len(pred), np.int8), (pred, n_pred + ref)), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    of_pair = component[pred]
    by_component = np.argsort(of_pair, kind="stable")
    starts = np.flatnonzero(np.diff(of_pair[by_component], prepend=-1))
    chosen: list[Index] = []
    for candidates in np.split(by_component, starts[1:]):
        pairs = candidates
        if len(pairs) > 1:
            pairs = pairs[_best(pred[pairs], ref[pairs], iou[pairs])]
        chosen.append(pairs)
    kept = np.sort(np.concatenate(chosen)) if len(pred) else np.empty(0, np.intp)
    return Matches(pred[kept], ref[kept], iou[kept])


def _best(pred: Index, ref: Index, iou: NDArray[np.float64]) -> Index:
    """Positions of the best one-to-one choice among a component's pairs."""
    from scipy.optimize import linear_sum_assignment

    rows, row_of = np.unique(pred, return_inverse=True)
    cols, col_of = np.unique(ref, return_inverse=True)
    position = np.full((len(rows), len(cols)), -1, np.intp)
    position[row_of, col_of] = np.arange(len(pred))
    # One more match outweighs any sum of IoUs, which cannot exceed the number of matches.
    profit = np.zeros(position.shape)
    profit[row_of, col_of] = min(position.shape) + 1 + iou
    assigned: Index = position[linear_sum_assignment(profit, maximize=True)]
    return assigned[assigned >= 0]
