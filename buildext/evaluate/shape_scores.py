"""Shape scores: the measures of matched pairs, averaged.

Only matched pairs have a shape to speak of, so these figures say how well *found* buildings are
drawn, and nothing about those not found: read them beside the object recall, since a method that
finds only the easy ones draws them well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.evaluate.bootstrap import Interval, bootstrap
from buildext.evaluate.buildings import Pairs
from buildext.evaluate.matching import Index
from buildext.evaluate.ratios import quotient

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Average:
    """A measure over pairs; all None where no pair has it."""

    mean: float | None
    median: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class ShapeScores:
    """Averages over matched pairs.

    Attributes:
        pairs: number of pairs.
        iou, c_iou, polis_m, hausdorff_m, mta_deg, vertex_ratio: see `Pairs`.
        shift_m: length of the step from true to predicted centroids.
        shift_east_north_m: mean step, what all pairs share; None without pairs.
        step_error_m: error of the roof-to-footprint step; None where a layer has none.
    """

    pairs: int
    iou: Average
    c_iou: Average
    polis_m: Average
    hausdorff_m: Average
    mta_deg: Average
    vertex_ratio: Average
    shift_m: Average
    shift_east_north_m: tuple[float, float] | None
    step_error_m: Average | None


def shape_scores(
    pairs: Pairs, chosen: NDArray[np.bool_], unit: Index, units: int, *, resamples: int, seed: int
) -> ShapeScores:
    """Averages over some pairs.

    Args:
        pairs: all pairs.
        chosen: `(P,)` the pairs to average.
        unit: `(P,)` unit of ground in which each pair lies, for the bootstrap.
        units: number of units.
        resamples: bootstrap samples.
        seed: of the bootstrap.
    """

    def average(values: Floats) -> Average:
        there = chosen & ~np.isnan(values)
        some = values[there]
        if len(some) == 0:
            return Average(None, None, None)
        sums = np.column_stack(
            [
                np.bincount(unit[there], some, minlength=units),
                np.bincount(unit[there], minlength=units),
            ]
        )
        interval = bootstrap(sums, quotient, resamples=resamples, seed=seed)
        return Average(float(some.mean()), float(np.median(some)), interval)

    steps = pairs.shift_m[chosen]
    mean_step = (float(steps[:, 0].mean()), float(steps[:, 1].mean())) if len(steps) else None
    return ShapeScores(
        pairs=int(chosen.sum()),
        iou=average(pairs.iou),
        c_iou=average(pairs.c_iou),
        polis_m=average(pairs.polis_m),
        hausdorff_m=average(pairs.hausdorff_m),
        mta_deg=average(pairs.mta_deg),
        vertex_ratio=average(pairs.vertex_ratio),
        shift_m=average(np.hypot(pairs.shift_m[:, 0], pairs.shift_m[:, 1])),
        shift_east_north_m=mean_step,
        step_error_m=None if pairs.step_error_m is None else average(pairs.step_error_m),
    )
