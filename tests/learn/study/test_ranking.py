"""Intervals, ranks and paired differences, against figures from the textbook and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from buildext.learn.study.ranking import (
    compare_arms,
    estimate,
    holm,
    paired_p,
    rank_arms,
)
from buildext.learn.study.record import RunRecord


def record(score: float, *, baseline: float | None = 0.3, failed: bool = False) -> RunRecord:
    if failed:
        return RunRecord("k", 0, "failed", {}, "ModelError: refused")
    return RunRecord("k", 0, "done", {}, scores={"mean/building": score}, baseline=baseline)


def test_the_interval_is_students() -> None:
    # t(0.975, 2) = 4.302653: the textbook's table.
    found = estimate([0.70, 0.72, 0.74], 0.95)
    assert found.mean == pytest.approx(0.72)
    assert found.half == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-6)
    assert estimate([0.7], 0.95).half is None


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        found = estimate(list(rng.normal(0.6, 0.05, 3)), 0.9)
        assert found.half is not None
        inside += abs(found.mean - 0.6) <= found.half
    assert inside / 2000 == pytest.approx(0.9, abs=0.02)


def test_holm_by_hand() -> None:
    # Sorted: 0.01 × 4, 0.02 × 3, 0.03 × 2 (but not below 0.06), 0.5.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(0 <= p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_the_paired_p_is_scipys() -> None:
    ours, theirs = [0.71, 0.74, 0.69, 0.75], [0.70, 0.70, 0.68, 0.71]
    expected = stats.ttest_rel(ours, theirs).pvalue
    assert paired_p([a - b for a, b in zip(ours, theirs, strict=True)]) == pytest.approx(expected)
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([0.5, 0.5]) == 0.0


def test_only_arms_that_are_trained_with_every_seed_have_a_rank() -> None:
    arms = [
        ("weak", {}, {0: record(0.5), 1: record(0.52)}),
        ("untrained", {}, {0: record(0.9), 1: record(0.2)}),
        ("strong", {}, {0: record(0.8), 1: record(0.7)}),
        ("broken", {}, {0: record(0.95), 1: record(0, failed=True)}),
        ("half", {}, {0: record(0.99), 1: None}),
        ("nan", {}, {0: record(math.nan), 1: record(0.9)}),
        ("unjudged", {}, {0: record(0.6, baseline=None), 1: record(0.6, baseline=None)}),
    ]
    ranked = rank_arms(arms, "mean/building", 0.95)
    assert [(a.label, a.rank) for a in ranked[:3]] == [("strong", 1), ("unjudged", 2), ("weak", 3)]
    assert all(a.rank is None for a in ranked[3:])
    remarks = {a.label: a.remark for a in ranked}
    assert remarks["broken"] == "failed (1 of 2 runs): ModelError: refused"
    assert remarks["untrained"].startswith("not trained (1 of 2 runs)")
    assert remarks["half"] == "1 of 2 runs done"
    assert remarks["nan"].startswith("not trained (1 of 2")


def test_a_shared_seed_effect_cancels_in_pairs() -> None:
    seeds = {0: -0.2, 1: 0.0, 2: 0.2}
    arms = [
        ("a", {}, {s: record(0.60 + e + 0.001 * s) for s, e in seeds.items()}),
        ("b", {}, {s: record(0.55 + e) for s, e in seeds.items()}),
    ]
    results = rank_arms(arms, "mean/building", 0.95)
    a = results[0]
    assert a.score is not None and a.score.half is not None
    assert a.score.half > 0.4, "alone, the arms cannot be told apart"
    (pair,) = compare_arms(results, "mean/building", "b", 0.95)
    assert (pair.arm, pair.reference) == ("a", "b")
    assert pair.difference.mean == pytest.approx(0.051)
    assert pair.difference.half is not None and pair.difference.half < 0.01
    assert pair.p == pair.p_adjusted < 0.001


def test_one_seed_compares_nothing() -> None:
    arms = [("a", {}, {0: record(0.6)}), ("b", {}, {0: record(0.5)})]
    assert compare_arms(rank_arms(arms, "mean/building", 0.95), "mean/building", "", 0.95) == []
