"""Buildings: the records behind the scores, one for each true building and each prediction.

Scores are sums over these; a report, a map of errors or a reader who doubts a figure goes back to
them. They are columns, not rows: entry `i` of every array belongs to building `i`. What only a pair
has (distances, angles) is NaN where a building has no partner.

`Evaluation.buildings` holds both tables. They are left out of the JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.comparison import Comparison
from buildext.evaluate.frame import Frame
from buildext.evaluate.matching import Index, Overlaps
from buildext.evaluate.shapes.complexity import complexity
from buildext.evaluate.shapes.distances import outline_distances
from buildext.evaluate.shapes.shift import centroid_shift_m
from buildext.evaluate.shapes.tangent import max_tangent_angle_deg

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Points along an outline for the tangent angle: finer than a wall, coarser than its noise.
TANGENT_STEP_M = 1.0


@dataclass(frozen=True, slots=True)
class Pairs:
    """How well each matched prediction resembles its building; entry `i` is match `i`.

    Attributes:
        pred: `(P,)` index of the prediction.
        ref: `(P,)` index of the true building.
        iou: `(P,)`.
        c_iou: `(P,)` complexity-aware IoU.
        polis_m: `(P,)` PoLiS distance.
        hausdorff_m: `(P,)` Hausdorff distance of the outlines.
        mta_deg: `(P,)` max tangent angle error; NaN where none can be measured.
        vertex_ratio: `(P,)` predicted over true corners.
        shift_m: `(P, 2)` step from true to predicted centroid, east and north on the grid.
        step_error_m: `(P,)` length of the difference between predicted and true roof-to-footprint
            step; None where a layer has no steps.
    """

    pred: Index
    ref: Index
    iou: Floats
    c_iou: Floats
    polis_m: Floats
    hausdorff_m: Floats
    mta_deg: Floats
    vertex_ratio: Floats
    shift_m: Floats
    step_error_m: Floats | None


@dataclass(frozen=True, slots=True)
class Side:
    """One layer's buildings in the scored region.

    Attributes:
        polygons: `(N,)` in the ground plane, clipped; `Frame.from_plane` brings them to the CRS.
        row: `(N,)` feature of the file (of those with a geometry) or component of the mask.
        cut: `(N,)` true where less than half of it is inside: unmatched, it is no mistake.
        match: `(N,)` index in `Buildings.pairs`, -1 for none.
        parts: `(N,)` buildings of the other layer into which it is split (a true building) or
            which it merges (a prediction); 0 or at least 2.
        size_group: `(N,)` index among the size classes, by its own area.
    """

    polygons: NDArray[np.object_]
    row: Index
    cut: Flags
    match: Index
    parts: Index
    size_group: Index

    def __len__(self) -> int:
        return len(self.polygons)

    @property
    def wrong(self) -> Flags:
        """Which are mistakes, `(N,)`: false predictions, or missed buildings."""
        return (self.match < 0) & ~self.cut


@dataclass(frozen=True, slots=True)
class Buildings:
    """All records.

    Attributes:
        frame: whose ground plane the polygons lie in.
        pred: the predictions.
        ref: the true buildings.
        pairs: the matches.
        overlaps: all pairs with a common area, matched or not.
        height_m: `(M,)` of the true buildings, NaN where unknown; None where nobody told.
        height_class: `(M,)` index into `Evaluation.classes`; None as above.
        charged_class: `(N,)` class to which a prediction is charged where false; None as above.
        confidence: `(N,)` of the predictions, 0–1, NaN where unknown; None without.
    """

    frame: Frame
    pred: Side
    ref: Side
    pairs: Pairs
    overlaps: Overlaps
    height_m: Floats | None
    height_class: Index | None
    charged_class: Index | None
    confidence: Floats | None


def measure_pairs(
    comparison: Comparison,
    frame: Frame,
    pred_step_m: Floats | None = None,
    ref_step_m: Floats | None = None,
) -> Pairs:
    """Measure every match.

    Args:
        comparison: the matched objects.
        frame: whose ground plane they lie in.
        pred_step_m: `(N, 2)` predicted steps from roof to footprint, east and north.
        ref_step_m: `(M, 2)` true ones.
    """
    matches = comparison.matches
    pred = comparison.pred.polygons[matches.pred]
    ref = comparison.ref.polygons[matches.ref]
    distances = outline_distances(pred, ref)
    corners = complexity(pred, ref, matches.iou)
    step_error_m = None
    if pred_step_m is not None and ref_step_m is not None:
        wrong = pred_step_m[matches.pred] - ref_step_m[matches.ref]
        step_error_m = np.hypot(wrong[:, 0], wrong[:, 1])
    return Pairs(
        pred=matches.pred,
        ref=matches.ref,
        iou=matches.iou,
        c_iou=corners.c_iou,
        polis_m=distances.polis_m,
        hausdorff_m=distances.hausdorff_m,
        mta_deg=max_tangent_angle_deg(pred, ref, TANGENT_STEP_M),
        vertex_ratio=corners.vertex_ratio,
        shift_m=frame.to_east_north(centroid_shift_m(pred, ref)),
        step_error_m=step_error_m,
    )
