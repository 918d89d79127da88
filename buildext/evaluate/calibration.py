"""Calibration: whether a stated confidence is the share that turns out right.

Cases (polygons with a confidence, or pixels with a probability) are sorted into ten bins of equal
width. In a calibrated prediction the share of right cases in a bin is the mean confidence there;

    ECE = Σ_bins n_b / n · |share right_b − mean confidence_b|

is how far it is from that (M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated
Probabilities Using Bayesian Binning", AAAI 2015; C. Guo et al., "On Calibration of Modern Neural
Networks", ICML 2017). The same cases, dropped below a rising threshold, give the curve of precision
and recall, and the threshold at which F1 is greatest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.bootstrap import Counts, Interval, bootstrap
from buildext.evaluate.matching import Index

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

BINS = 10

# The curve has a point for each of 256 steps of confidence: those of an 8-bit probability.
STEPS = 256


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cases of like confidence; `confidence` and `right` are None where there is none."""

    low: float
    high: float
    count: int
    confidence: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Scores of the cases with at least this confidence."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidences can be trusted.

    Attributes:
        cases: what has a confidence: `polygons` or `pixels`.
        count: number of cases.
        ece: expected calibration error.
        ece_interval: its 95 % interval.
        reliability: the ten bins.
        curve: rising thresholds; those that change nothing are left out.
        best: the point of the curve with the greatest F1, the lowest threshold of equal ones.
    """

    cases: str
    count: int
    ece: float
    ece_interval: Interval | None
    reliability: tuple[ReliabilityBin, ...]
    curve: tuple[CurvePoint, ...]
    best: CurvePoint


def calibrate(
    histogram: NDArray[np.int64],
    per_tile: Counts,
    *,
    cases: str,
    missed: int,
    resamples: int,
    seed: int,
) -> Calibration | None:
    """The calibration of counted cases.

    Args:
        histogram: `(STEPS, 2)` wrong and right cases at each step of confidence.
        per_tile: `(T, BINS, 3)` cases, sum of confidences and right cases of each tile and bin.
        cases: what the cases are called.
        missed: true objects or pixels that no case answers for, whatever the threshold.
        resamples: bootstrap samples.
        seed: of the bootstrap.

    Returns:
        The calibration; None without cases or without anything true.
    """
    total, true = int(histogram.sum()), int(histogram[:, 1].sum()) + missed
    if total == 0 or true == 0:
        return None
    sums = per_tile.sum(axis=0)
    curve = _curve(histogram, true)
    return Calibration(
        cases=cases,
        count=total,
        ece=float(_ece(sums.reshape(1, -1))[0]),
        ece_interval=bootstrap(
            per_tile.reshape(len(per_tile), -1), _ece, resamples=resamples, seed=seed
        ),
        reliability=tuple(
            ReliabilityBin(
                low=b / BINS,
                high=(b + 1) / BINS,
                count=int(n),
                confidence=float(told / n) if n else None,
                right=float(right / n) if n else None,
            )
            for b, (n, told, right) in enumerate(sums)
        ),
        curve=curve,
        best=max(curve, key=lambda point: (point.f1, -point.threshold)),
    )


def count_cases(
    confidence: Floats, right: Flags, unit: Index, units: int
) -> tuple[NDArray[np.int64], Counts]:
    """The counts for `calibrate` of cases held one by one.

    Args:
        confidence: `(n,)` 0 to 1.
        right: `(n,)`.
        unit: `(n,)` unit of ground of each case.
        units: number of units.

    Returns:
        `(STEPS, 2)` histogram and `(units, BINS, 3)` counts.
    """
    step = step_of(confidence)
    histogram = np.zeros((STEPS, 2), np.int64)
    np.add.at(histogram, (step, right.astype(np.intp)), 1)
    place = unit * BINS + bin_of(confidence)
    size = units * BINS
    weights = (np.ones(len(place)), confidence, right.astype(np.float64))
    columns = np.stack([np.bincount(place, weight, minlength=size) for weight in weights], axis=-1)
    return histogram, columns.astype(np.float64).reshape(units, BINS, 3)


def step_of(confidence: Floats) -> Index:
    """Step of the curve at which a confidence stands; a threshold of it keeps the case."""
    steps: Index = np.floor(confidence * (STEPS - 1) + 1e-9).astype(np.intp)
    return np.clip(steps, 0, STEPS - 1)


def bin_of(confidence: Floats) -> Index:
    """Reliability bin of a confidence; 1 belongs to the last."""
    bins: Index = np.floor(confidence * BINS + 1e-9).astype(np.intp)
    return np.clip(bins, 0, BINS - 1)


def _ece(sums: Counts) -> Floats:
    """ECE of `(B, BINS · 3)` sums."""
    n, told, right = np.moveaxis(sums.reshape(len(sums), BINS, 3), -1, 0)
    whole = n.sum(axis=1)
    # n_b · |right_b / n_b − told_b / n_b| is |right − told| in sums.
    error: Floats = np.abs(right - told).sum(axis=1)
    ece: Floats = np.divide(error, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ece


def _curve(histogram: NDArray[np.int64], true: int) -> tuple[CurvePoint, ...]:
    """Precision, recall and F1 at each threshold from which cases differ."""
    kept = histogram[::-1].cumsum(axis=0)[::-1]
    points = []
    for step in np.flatnonzero(histogram.any(axis=1)):
        tp, n = int(kept[step, 1]), int(kept[step].sum())
        points.append(CurvePoint(step / (STEPS - 1), tp / n, tp / true, 2 * tp / (n + true)))
    return tuple(points)
