"""Findings: the buildings behind the scores, one by one.

Scores say how many; a report shows which. Every predicted and every true building gets a verdict
from the same overlaps and the same matching that the object scores come from:

- *matched* with one building of the other layer, or *false* (a prediction), or *missed*;
- a true building is *split* where it was found in several pieces (see `segmentation`);
- a prediction is a *merge* where it covers several true buildings.

How wrong a building is, is measured in m²: all of an unmatched one; of a matched one, the area
that one outline covers and the other does not. The list begins where most is to be gained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.buildings import Side
from buildext.evaluate.classes import class_of_predictions
from buildext.evaluate.frame import Frame
from buildext.evaluate.layers import PolygonLayer
from buildext.evaluate.matching import Overlaps
from buildext.evaluate.scores import Evaluation

Floats = NDArray[np.float64]
Index = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Buildings:
    """One layer's buildings inside the scored region.

    Attributes:
        polygons: `(N,)` in the frame's ground plane.
        excused: `(N,)` true where most of a building lies outside: unmatched, it is no mistake.
        partner: `(N,)` index of its match in the other layer, -1 without one.
        best_iou: `(N,)` largest IoU with any building of the other layer, 0 without overlap.
        contents: `(N,)` buildings of the other layer in this one where it is split or a merge, at
            least two; else 0.
        wrong_m2: `(N,)` area that is wrong, see above; 0 where excused.
    """

    polygons: NDArray[np.object_]
    excused: Flags
    partner: Index
    best_iou: Floats
    contents: Index
    wrong_m2: Floats

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def matched(self) -> Flags:
        """Which buildings have a partner, `(N,)`."""
        return self.partner >= 0

    @property
    def unmatched(self) -> Flags:
        """Which buildings are mistakes: without a partner and not excused, `(N,)`."""
        return ~(self.matched | self.excused)

    @property
    def several(self) -> Flags:
        """Which buildings are split, or merges, `(N,)`."""
        return self.contents > 0


@dataclass(frozen=True, slots=True)
class Findings:
    """Both layers, building by building.

    Attributes:
        frame: whose ground plane the polygons lie in.
        min_iou: smallest IoU of a match.
        pred: the predictions; `several` are merges.
        ref: the true buildings; `several` are splits.
        overlaps: all pairs with a common area.
        heights_m: `(M,)` of the true buildings, NaN where unknown; None without a height field.
        confidence: `(N,)` of the predictions, in 0–1; None where the file has none.
    """

    frame: Frame
    min_iou: float
    pred: Buildings
    ref: Buildings
    overlaps: Overlaps
    heights_m: Floats | None
    confidence: Floats | None


@dataclass(frozen=True, slots=True)
class BinnedF1:
    """Object F1 by a property of the true buildings.

    Attributes:
        edges: `(B + 1,)` limits of the bins.
        f1: `(B,)`, NaN in an empty bin.
        true: `(B,)` number of true buildings.
    """

    edges: Floats
    f1: Floats
    true: Index


def findings_of(evaluation: Evaluation) -> Findings:
    """The verdict on each building of an evaluation."""
    records, min_iou = evaluation.buildings, evaluation.objects.min_iou
    pairs, overlaps = records.pairs, records.overlaps
    pred_area, ref_area = shapely.area(records.pred.polygons), shapely.area(records.ref.polygons)
    # IoU = s / (a + b - s), so the shared area of a match follows from its IoU.
    both = pred_area[pairs.pred] + ref_area[pairs.ref]
    difference = both - 2 * both * pairs.iou / (1 + pairs.iou)
    pred = _buildings(records.pred, pairs.pred, pairs.ref, difference, overlaps.pred, overlaps.iou)
    ref = _buildings(records.ref, pairs.ref, pairs.pred, difference, overlaps.ref, overlaps.iou)
    return Findings(
        records.frame, min_iou, pred, ref, overlaps, records.height_m, records.confidence
    )


def _buildings(
    side: Side, own: Index, others: Index, difference: Floats, overlapping: Index, iou: Floats
) -> Buildings:
    """One layer with its partners, and the area on which they differ."""
    partner = np.full(len(side), -1, np.intp)
    partner[own] = others
    best = np.zeros(len(side))
    np.maximum.at(best, overlapping, iou)
    wrong = np.where(side.cut, 0.0, shapely.area(side.polygons))
    wrong[own] = difference
    return Buildings(side.polygons, side.cut, partner, best, side.parts, wrong)


def displacements_m(findings: Findings) -> Floats:
    """Steps from true to predicted centroids, `(P, 2)` in metres along columns and down rows.

    Of pairs that are each other's largest overlap, matched or not: a building that is displaced by
    half its width no longer reaches the IoU of a match, and would be missing here.
    """
    overlaps = findings.overlaps
    order = np.argsort(overlaps.area_m2, kind="stable")
    of_pred = np.full(len(findings.pred), -1, np.intp)
    of_ref = np.full(len(findings.ref), -1, np.intp)
    # The last write wins, and it is the largest area.
    of_pred[overlaps.pred[order]] = order
    of_ref[overlaps.ref[order]] = order
    mutual = of_pred[of_pred >= 0]
    mutual = mutual[of_ref[overlaps.ref[mutual]] == mutual]
    here = shapely.get_coordinates(shapely.centroid(findings.ref.polygons[overlaps.ref[mutual]]))
    there = shapely.get_coordinates(shapely.centroid(findings.pred.polygons[overlaps.pred[mutual]]))
    steps: Floats = there - here
    return steps


def f1_by(findings: Findings, values: Floats, edges: Floats) -> BinnedF1:
    """Object F1 in bins of a value of the true buildings.

    A false prediction is charged to the bin of the true building that it shares the largest area
    with, else the nearest one, as with height classes.

    Args:
        findings: the buildings.
        values: `(M,)` of the true buildings; those with NaN are left out.
        edges: `(B + 1,)` ascending, B < 255; outer bins take what lies beyond.
    """
    bins = len(edges) - 1
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    of_ref = np.where(np.isnan(values), bins, place).astype(np.uint8)
    layer = PolygonLayer(findings.frame, findings.ref.polygons, of_ref)
    of_pred = class_of_predictions(findings.pred.polygons, layer, findings.overlaps)
    tp, fn, fp = (
        np.bincount(places, minlength=bins + 1)[:bins]
        for places in (
            of_ref[findings.ref.matched],
            of_ref[findings.ref.unmatched],
            of_pred[findings.pred.unmatched],
        )
    )
    whole = 2 * tp + fp + fn
    f1 = np.divide(2.0 * tp, whole, out=np.full(bins, np.nan), where=whole > 0)
    return BinnedF1(edges, f1, (tp + fn).astype(np.intp))
