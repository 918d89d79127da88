"""What can be said of arms from few seeds: means, intervals, ranks, paired differences.

A score varies with the seed: the start of the weights, the order of the tiles, the blocks held
out. With n seeds the mean of an arm has the Student-t interval

    mean ± t(n − 1, (1 + c) / 2) · s / √n

with the sample deviation s. Two arms are compared *paired*: both were trained on the same seeds,
the difference is taken seed by seed, and what a seed does to both cancels. Many comparisons find
something by chance, so their p-values are adjusted by Holm's step-down rule (Holm, "A simple
sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979): with
the m p-values in rising order, the i-th is multiplied by m − i + 1 and never falls below the one
before. The t distribution assumes differences that are about normal; three seeds cannot show it.

With one seed there is no interval and no comparison, and none is given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from buildext.learn.study.record import RunRecord

# Above this number of arms, all pairs would be a list that nobody reads.
MOST_ARMS_PAIRED = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and half the width of its interval; `half` is None with one seed."""

    mean: float
    half: float | None
    seeds: int


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm with its runs.

    Attributes:
        label: of the arm.
        levels: label of the level by factor.
        runs: record by seed; None where it has not been run.
        score: over the finished runs; None without any.
        rank: 1 is the best; None unless all runs are finished and trained.
        remark: why it has no rank.
    """

    label: str
    levels: Mapping[str, str]
    runs: Mapping[int, RunRecord | None]
    score: Estimate | None
    rank: int | None
    remark: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`arm` minus `reference`, seed by seed; p is adjusted for all comparisons of the stage."""

    arm: str
    reference: str
    difference: Estimate
    p: float
    p_adjusted: float


def estimate(values: Sequence[float], confidence: float) -> Estimate:
    """Mean and Student-t interval of at least one value."""
    count = len(values)
    mean = float(np.mean(values))
    if count == 1:
        return Estimate(mean, None, 1)
    t = float(stats.t.ppf((1 + confidence) / 2, count - 1))
    return Estimate(mean, t * float(np.std(values, ddof=1)) / math.sqrt(count), count)


def rank_arms(
    arms: Sequence[tuple[str, Mapping[str, str], Mapping[int, RunRecord | None]]],
    metric: str,
    confidence: float,
) -> list[ArmResult]:
    """Arms, the best first; those without a rank behind.

    Args:
        arms: label, levels and the runs by seed of each.
        metric: name of the score.
        confidence: of the intervals.
    """
    found = []
    for label, levels, runs in arms:
        scores = scores_by_seed(runs, metric)
        score = estimate(list(scores.values()), confidence) if scores else None
        found.append(ArmResult(label, levels, runs, score, None, _remark(runs, metric)))
    # Sorting is stable, so equal means stay in the order of the design on any machine.
    found.sort(key=lambda a: (bool(a.remark), -a.score.mean if a.score else math.inf))
    ranked = []
    for position, arm in enumerate(found, start=1):
        rank = None if arm.remark else position
        ranked.append(ArmResult(arm.label, arm.levels, arm.runs, arm.score, rank, arm.remark))
    return ranked


def scores_by_seed(runs: Mapping[int, RunRecord | None], metric: str) -> dict[int, float]:
    """The scores of the finished runs."""
    scores = {s: r.scores.get(metric, math.nan) for s, r in runs.items() if r is not None}
    return {seed: score for seed, score in scores.items() if math.isfinite(score)}


def compare_arms(
    arms: Sequence[ArmResult], metric: str, reference: str, confidence: float
) -> list[Comparison]:
    """Paired differences between arms on the seeds that both have, with Holm's correction.

    Args:
        arms: of one stage; those without a rank are left out.
        metric: name of the score.
        reference: label of the arm that all others are compared with; empty: all pairs, of at most
            8 arms.
        confidence: of the intervals (each for itself, not adjusted).

    Returns:
        The comparisons; none where no pair has two seeds in common.
    """
    ranked = [arm for arm in arms if arm.rank is not None]
    if reference:
        behind = [arm for arm in ranked if arm.label == reference]
        pairs = [(arm, other) for other in behind for arm in ranked if arm is not other]
    elif len(ranked) <= MOST_ARMS_PAIRED:
        pairs = list(itertools.combinations(ranked, 2))
    else:
        pairs = []
    found = []
    for arm, other in pairs:
        ours, theirs = (scores_by_seed(a.runs, metric) for a in (arm, other))
        differences = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
        if len(differences) < 2:
            continue
        p = paired_p(differences)
        found.append((arm.label, other.label, estimate(differences, confidence), p))
    adjusted = holm([p for *_, p in found])
    return [Comparison(*pair, q) for pair, q in zip(found, adjusted, strict=True)]


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p-value of Student's paired test that the mean difference is zero."""
    deviation = float(np.std(differences, ddof=1))
    mean = float(np.mean(differences))
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / (deviation / math.sqrt(len(differences)))
    return float(2 * stats.t.sf(abs(t), len(differences) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down rule, in the order given."""
    adjusted = [0.0] * len(p_values)
    floor = 0.0
    for i, index in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        floor = max(floor, min(1.0, (len(p_values) - i) * p_values[index]))
        adjusted[index] = floor
    return adjusted


def _remark(runs: Mapping[int, RunRecord | None], metric: str) -> str:
    """Why an arm has no rank; empty if it has one."""
    records = [record for record in runs.values() if record is not None]
    failed = [record for record in records if record.status == "failed"]
    if failed:
        share = f" ({len(failed)} of {len(runs)} runs)" if len(runs) > 1 else ""
        return f"failed{share}: {failed[0].reason}"
    if len(records) < len(runs):
        return "not run yet" if not records else f"{len(records)} of {len(runs)} runs done"
    unfit = [r for r in records if r.trained is False]
    if unfit:
        share = f" ({len(unfit)} of {len(runs)} runs)" if len(runs) > 1 else ""
        return f"not trained{share}: no better than a colour threshold"
    if len(scores_by_seed(runs, metric)) < len(runs):
        return f"has no score {metric!r}"
    return ""
