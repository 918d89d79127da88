"""Scoring: from counts by tile to scores with their intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.bootstrap import Counts, bootstrap
from buildext.evaluate.ratios import quotient, ratio
from buildext.evaluate.scores import (
    BoundaryScores,
    LadderScores,
    ObjectScores,
    PixelScores,
    TileMean,
)


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
        f1_interval=bootstrap(summands, quotient, resamples=resamples, seed=seed),
    )


def boundary_scores(
    per_tile: NDArray[np.int64], tolerance_m: float, resamples: int, seed: int
) -> BoundaryScores:
    """Pooled scores of `(T, 6)` tile counts, as in `PixelTally.boundary`."""
    sums = per_tile.sum(axis=0)
    lines, bands = per_tile[:, :4], per_tile[:, 4:]
    f1 = float(_boundary_f1(sums[None, :4].astype(np.float64))[0])
    return BoundaryScores(
        tolerance_m=tolerance_m,
        pred_contour_px=int(sums[0]),
        ref_contour_px=int(sums[2]),
        precision=ratio(int(sums[1]), int(sums[0])),
        recall=ratio(int(sums[3]), int(sums[2])),
        f1=None if np.isnan(f1) else f1,
        f1_interval=bootstrap(lines, _boundary_f1, resamples=resamples, seed=seed),
        iou=ratio(int(sums[4]), int(sums[5])),
        iou_interval=bootstrap(bands, quotient, resamples=resamples, seed=seed),
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


def ladder_scores(
    per_tile: NDArray[np.int64], thresholds: tuple[float, ...], resamples: int, seed: int
) -> LadderScores:
    """Scores of `(L, T, 3)` counts as in `object_scores`, one layer for each threshold."""
    levels, tiles, _ = per_tile.shape

    def mean_f1(sums: Counts) -> Counts:
        f1 = _f1(sums.reshape(-1, 3)).reshape(-1, levels)
        mean: Counts = f1.mean(axis=1)
        return mean

    flat = np.moveaxis(per_tile, 0, 1).reshape(tiles, -1)
    each = _f1(per_tile.sum(axis=1).astype(np.float64))
    mean = float(each.mean())
    return LadderScores(
        min_iou=thresholds,
        f1=tuple(None if np.isnan(f1) else float(f1) for f1 in each),
        mean_f1=None if np.isnan(mean) else mean,
        mean_f1_interval=bootstrap(flat, mean_f1, resamples=resamples, seed=seed),
    )


def _f1(sums: Counts) -> Counts:
    tp, fp, fn = sums.T
    return quotient(np.column_stack([2 * tp, 2 * tp + fp + fn]))


def _iou(sums: Counts) -> Counts:
    tp, fp, fn = sums.T
    return quotient(np.column_stack([tp, tp + fp + fn]))


def _boundary_f1(sums: Counts) -> Counts:
    """Harmonic mean of both shares; 0 where one layer has no contour, NaN where neither has."""
    pred, pred_hit, ref, ref_hit = sums.T
    precision = np.nan_to_num(quotient(np.column_stack([pred_hit, pred])))
    recall = np.nan_to_num(quotient(np.column_stack([ref_hit, ref])))
    f1 = np.nan_to_num(quotient(np.column_stack([2 * precision * recall, precision + recall])))
    return np.where(pred + ref > 0, f1, np.nan)
