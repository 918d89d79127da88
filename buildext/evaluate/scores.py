"""Scores: what an evaluation says, as plain values.

Every ratio is None where its denominator is zero, so that "no such thing here" is never mistaken
for a zero. F1 = 2·TP / (2·TP + FP + FN) is defined as soon as anything was predicted or true, and
is 0 for an empty prediction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.bootstrap import Counts, Interval, bootstrap
from buildext.evaluate.layers import Repair

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class PixelScores:
    """Pooled scores of pixels: all counts of the extent in one sum."""

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    iou: float | None
    iou_interval: Interval | None


@dataclass(frozen=True, slots=True)
class TileMean:
    """Mean over tiles of each tile's F1; a tile without truth and prediction scores 1."""

    tiles: int
    f1: float | None
    f1_interval: Interval | None


@dataclass(frozen=True, slots=True)
class BoundaryScores:
    """Pooled scores of contour pixels within a tolerance."""

    tolerance_m: float
    pred_contour_px: int
    ref_contour_px: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None


@dataclass(frozen=True, slots=True)
class ObjectScores:
    """Scores of objects matched one to one; `count_error` = (predicted − true) / true."""

    min_iou: float
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    predicted: int
    true: int
    count_error: float | None


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one height class; `range_m` is None for the buildings without a height."""

    name: str
    range_m: tuple[float, float | None] | None
    pixels: PixelScores
    tile_mean: TileMean
    objects: ObjectScores


@dataclass(frozen=True, slots=True)
class Extent:
    """What was scored, and on which grid."""

    source: str
    crs: str
    bounds: tuple[float, float, float, float]
    width_px: int
    height_px: int
    pixel_xy_m: tuple[float, float]
    scored_px: int
    scored_m2: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that one evaluation found.

    Attributes:
        prediction: the prediction's path as given.
        reference: the reference's path as given.
        extent: what was scored.
        settings: the options that change figures, resolved.
        pixels: pooled pixel scores.
        tile_mean: mean of tile F1.
        boundary: contour scores.
        objects: one-to-one object scores.
        objects_reliable: false where a layer was a mask, whose touching buildings are one object.
        classes: scores of each height class, low to high, then `unknown`; empty without heights.
        prediction_layer: what happened to the prediction's polygons.
        reference_layer: what happened to the reference's polygons.
        notes: what a reader of the figures should know.
    """

    prediction: str
    reference: str
    extent: Extent
    settings: dict[str, object]
    pixels: PixelScores
    tile_mean: TileMean
    boundary: BoundaryScores
    objects: ObjectScores
    objects_reliable: bool
    classes: tuple[ClassScores, ...]
    prediction_layer: Repair
    reference_layer: Repair
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON-ready values, with its schema version and protocol."""
        return {"schema_version": SCHEMA_VERSION, "protocol": PROTOCOL, **asdict(self)}


PROTOCOL = {
    "pixels": "a pixel is building where its centre lies in a polygon; counts pooled over the "
    "extent",
    "tile_mean": "mean of F1 over the tiles of which at least half is scored; 1 for a tile without "
    "truth and prediction",
    "boundary": "contour pixels within the tolerance of the other layer's contour, pooled",
    "objects": "one-to-one matching at IoU >= min_iou with the most matches, then the largest sum "
    "of IoUs; objects with less than half of their area inside the extent count only where matched",
    "classes": "true pixels of the class against predictions inside that class's buildings plus "
    "the false positives nearest to it; a class's tile mean uses the tiles that hold the class",
    "intervals": "95 % percentile bootstrap over tiles",
}


def pixel_scores(per_tile: NDArray[np.int64], resamples: int, seed: int) -> PixelScores:
    """Pooled scores of `(T, 3)` tile counts: true positives, false positives, false negatives."""
    tp, fp, fn = (int(count) for count in per_tile.sum(axis=0))
    return PixelScores(
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        precision=ratio(tp, tp + fp),
        recall=ratio(tp, tp + fn),
        f1=ratio(2 * tp, 2 * tp + fp + fn),
        f1_interval=bootstrap(per_tile, _f1, resamples=resamples, seed=seed),
        iou=ratio(tp, tp + fp + fn),
        iou_interval=bootstrap(per_tile, _iou, resamples=resamples, seed=seed),
    )


def tile_mean(per_tile: NDArray[np.int64], resamples: int, seed: int) -> TileMean:
    """Mean F1 of the given tiles; `(T, 3)` counts as in `pixel_scores`."""
    f1 = np.nan_to_num(_f1(per_tile.astype(np.float64)), nan=1.0)
    summands = np.column_stack([f1, np.ones(len(f1))])
    return TileMean(
        tiles=len(f1),
        f1=float(f1.mean()) if len(f1) else None,
        f1_interval=bootstrap(summands, _quotient, resamples=resamples, seed=seed),
    )


def boundary_scores(
    per_tile: NDArray[np.int64], tolerance_m: float, resamples: int, seed: int
) -> BoundaryScores:
    """Pooled scores of `(T, 4)` tile counts: predicted contour, confirmed, true, confirmed."""
    sums = per_tile.sum(axis=0)
    f1 = float(_boundary_f1(sums[None].astype(np.float64))[0])
    return BoundaryScores(
        tolerance_m=tolerance_m,
        pred_contour_px=int(sums[0]),
        ref_contour_px=int(sums[2]),
        precision=ratio(int(sums[1]), int(sums[0])),
        recall=ratio(int(sums[3]), int(sums[2])),
        f1=None if np.isnan(f1) else f1,
        f1_interval=bootstrap(per_tile, _boundary_f1, resamples=resamples, seed=seed),
    )


def object_scores(
    per_tile: NDArray[np.int64], min_iou: float, resamples: int, seed: int
) -> ObjectScores:
    """Pooled scores of `(T, 3)` tile counts of matched, surplus and missed objects."""
    tp, fp, fn = (int(count) for count in per_tile.sum(axis=0))
    return ObjectScores(
        min_iou=min_iou,
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        precision=ratio(tp, tp + fp),
        recall=ratio(tp, tp + fn),
        f1=ratio(2 * tp, 2 * tp + fp + fn),
        f1_interval=bootstrap(per_tile, _f1, resamples=resamples, seed=seed),
        predicted=tp + fp,
        true=tp + fn,
        count_error=ratio(fp - fn, tp + fn),
    )


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, None where there is nothing to divide by."""
    return part / whole if whole else None


def _quotient(sums: Counts) -> Counts:
    """First over second column, NaN where the second is 0."""
    out: Counts = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=out, where=sums[:, 1] > 0)
    return out


def _f1(sums: Counts) -> Counts:
    tp, fp, fn = sums.T
    return _quotient(np.column_stack([2 * tp, 2 * tp + fp + fn]))


def _iou(sums: Counts) -> Counts:
    tp, fp, fn = sums.T
    return _quotient(np.column_stack([tp, tp + fp + fn]))


def _boundary_f1(sums: Counts) -> Counts:
    """Harmonic mean of both shares; 0 where one layer has no contour, NaN where neither has."""
    pred, pred_hit, ref, ref_hit = sums.T
    precision = np.nan_to_num(_quotient(np.column_stack([pred_hit, pred])))
    recall = np.nan_to_num(_quotient(np.column_stack([ref_hit, ref])))
    f1 = np.nan_to_num(_quotient(np.column_stack([2 * precision * recall, precision + recall])))
    return np.where(pred + ref > 0, f1, np.nan)
