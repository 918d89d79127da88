"""Matching: which predicted object is which true one.

Two objects may match where their intersection over union reaches a threshold. Every object matches
at most once, and among all such pairings the one with the most matches is taken, the one with the
largest sum of IoUs among those. That optimum belongs to the two sets, not to the order of their
rows. (Above IoU 0.5 and without overlaps inside a layer only one pairing exists; a lower threshold
or overlapping predictions make the choice real.)

SpaceNet's rule is greedy instead: predictions choose one after the other, the most confident first,
and each takes the free true object with which its IoU is largest (Van Etten, Lindenbaum, Bacastow,
"SpaceNet: A Remote Sensing Dataset and Challenge Series", arXiv 1807.01232, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Index = NDArray[np.intp]

# An IoU of exactly the threshold matches, whatever the reprojection did to its last digits.
_IOU_SLACK = 1e-9

# Predictions whose overlaps are computed at once: the intersections live only so long.
_BATCH = 50_000


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
    tree = shapely.STRtree(ref)
    parts = [
        _overlaps_of(pred, ref, tree, slice(start, start + _BATCH))
        for start in range(0, len(pred), _BATCH)
    ]
    if not parts:
        nobody = np.empty(0, np.intp)
        return Overlaps(nobody, nobody, np.empty(0), np.empty(0))
    return Overlaps(
        np.concatenate([part.pred for part in parts]),
        np.concatenate([part.ref for part in parts]),
        np.concatenate([part.area_m2 for part in parts]),
        np.concatenate([part.iou for part in parts]),
    )


def _overlaps_of(
    pred: NDArray[np.object_], ref: NDArray[np.object_], tree: shapely.STRtree, some: slice
) -> Overlaps:
    """The overlaps of some predictions."""
    rows, cols = tree.query(pred[some], predicate="intersects")
    rows = rows + some.start
    shared = shapely.area(shapely.intersection(pred[rows], ref[cols]))
    rows, cols, shared = rows[shared > 0], cols[shared > 0], shared[shared > 0]
    union = shapely.area(pred[rows]) + shapely.area(ref[cols]) - shared
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
    alone = np.diff(starts, append=len(of_pair)) == 1
    chosen = [by_component[starts[alone]]]
    ends = np.append(starts[1:], len(of_pair))
    for start, end in zip(starts[~alone], ends[~alone], strict=True):
        pairs = by_component[start:end]
        chosen.append(pairs[_best(pred[pairs], ref[pairs], iou[pairs])])
    kept = np.sort(np.concatenate(chosen))
    return Matches(pred[kept], ref[kept], iou[kept])


def match_spacenet(
    overlaps: Overlaps, confidence: NDArray[np.float64] | None, min_iou: float
) -> Matches:
    """SpaceNet's greedy matching.

    Args:
        overlaps: pairs of objects with a common area.
        confidence: `(N,)` of the predictions, in whose falling order they choose; equal ones, and
            all where it is None, choose in the order of the layer.
        min_iou: smallest IoU of a match.
    """
    good = np.flatnonzero(overlaps.iou >= min_iou - _IOU_SLACK)
    pred, ref, iou = overlaps.pred[good], overlaps.ref[good], overlaps.iou[good]
    turn = np.zeros(len(pred)) if confidence is None else -np.nan_to_num(confidence[pred])
    taken_pred: set[int] = set()
    taken_ref: set[int] = set()
    kept = []
    for pair in np.lexsort((ref, -iou, pred, turn)).tolist():
        p, r = int(pred[pair]), int(ref[pair])
        if p not in taken_pred and r not in taken_ref:
            taken_pred.add(p)
            taken_ref.add(r)
            kept.append(pair)
    order = np.sort(np.array(kept, np.intp))
    return Matches(pred[order], ref[order], iou[order])


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
