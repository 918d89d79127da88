"""Matching: by hand, against brute force, and under shuffled rows."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from buildext.evaluate import EvaluateOptions, evaluate_files
from buildext.evaluate.matching import find_overlaps, match, match_spacenet
from tests.evaluate.files import blank, box, write_vector

corner = st.integers(0, 8)
size = st.integers(2, 6)
boxes = st.lists(
    st.builds(lambda x, y, w, h: shapely.box(x, y, x + w, y + h), corner, corner, size, size),
    max_size=5,
)


def as_array(polygons: list[shapely.Polygon]) -> np.ndarray:
    return np.array(polygons, dtype=object)


def test_an_iou_of_exactly_one_half_matches() -> None:
    # 4 × 4 inside 8 × 4: intersection 16, union 32.
    overlaps = find_overlaps(as_array([box(0, 0, 4, 4)]), as_array([box(0, 0, 8, 4)]))
    assert overlaps.iou.tolist() == [0.5]
    assert len(match(overlaps, 1, 1, 0.5).pred) == 1
    assert len(match(overlaps, 1, 1, 0.51).pred) == 0


def test_more_matches_beat_a_better_one() -> None:
    # Truth A = 0–10, B = 10–20 (width 1). P = 0–12 has IoU 10/12 with A and 2/20 with B; Q = 0–9
    # has 9/10 with A alone. Greedy by IoU gives Q–A; P–B must follow. At 0.1 both match: 2.
    truth = as_array([box(0, 0, 10, 1), box(10, 0, 20, 1)])
    guess = as_array([box(0, 0, 12, 1), box(0, 0, 9, 1)])
    found = match(find_overlaps(guess, truth), 2, 2, 0.1)
    assert sorted(zip(found.pred.tolist(), found.ref.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert sorted(found.iou) == pytest.approx([2 / 20, 9 / 10])


def test_spacenets_rule_is_greedy_and_asks_the_confidence() -> None:
    # As above: P (IoU 10/12 with A, 2/20 with B) and Q (9/10 with A alone). If P is surer it takes
    # A, and Q is left over; if Q is surer it takes A, and P the rest.
    truth = as_array([box(0, 0, 10, 1), box(10, 0, 20, 1)])
    overlaps = find_overlaps(as_array([box(0, 0, 12, 1), box(0, 0, 9, 1)]), truth)
    first = match_spacenet(overlaps, np.array([0.9, 0.5]), 0.1)
    assert (first.pred.tolist(), first.ref.tolist()) == ([0], [0])
    second = match_spacenet(overlaps, np.array([0.5, 0.9]), 0.1)
    assert sorted(zip(second.pred.tolist(), second.ref.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert len(match_spacenet(overlaps, None, 0.1).pred) == 1


@given(guess=boxes, truth=boxes)
def test_both_rules_agree_above_one_half_without_overlaps(
    guess: list[shapely.Polygon], truth: list[shapely.Polygon]
) -> None:
    def apart(polygons: list[shapely.Polygon]) -> np.ndarray:
        kept: list[shapely.Polygon] = []
        for polygon in polygons:
            if not any(polygon.intersection(other).area for other in kept):
                kept.append(polygon)
        return as_array(kept)

    p, r = apart(guess), apart(truth)
    overlaps = find_overlaps(p, r)
    optimal, greedy = match(overlaps, len(p), len(r), 0.501), match_spacenet(overlaps, None, 0.501)
    assert optimal.pred.tolist() == greedy.pred.tolist()
    assert optimal.ref.tolist() == greedy.ref.tolist()


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 40, (2, 60))
    polygons = shapely.box(x, y, x + 5, y + 5)
    whole = find_overlaps(polygons, polygons)
    monkeypatch.setattr("buildext.evaluate.matching._BATCH", 7)
    parts = find_overlaps(polygons, polygons)
    for name in ("pred", "ref", "area_m2", "iou"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


@given(guess=boxes, truth=boxes, min_iou=st.sampled_from([0.1, 0.25, 0.5]))
def test_optimal_against_all_pairings(
    guess: list[shapely.Polygon], truth: list[shapely.Polygon], min_iou: float
) -> None:
    found = match(find_overlaps(as_array(guess), as_array(truth)), len(guess), len(truth), min_iou)
    assert len(set(found.pred)) == len(set(found.ref)) == len(found.pred)
    slots = [*range(len(truth)), *[-1] * len(guess)]
    best = (0, 0.0)
    for choice in set(itertools.permutations(slots, len(guess))):
        ious = [
            guess[p].intersection(truth[r]).area / guess[p].union(truth[r]).area
            for p, r in enumerate(choice)
            if r >= 0
        ]
        good = [iou for iou in ious if iou >= min_iou - 1e-9]
        if len(good) == len(ious):
            best = max(best, (len(good), sum(good)))
    assert (len(found.iou), found.iou.sum()) == (best[0], pytest.approx(best[1]))


@given(guess=boxes, truth=boxes, seed=st.integers(0, 2**16))
def test_rows_in_another_order_match_alike(
    guess: list[shapely.Polygon], truth: list[shapely.Polygon], seed: int
) -> None:
    def total(p: np.ndarray, r: np.ndarray) -> tuple[int, float]:
        found = match(find_overlaps(p, r), len(p), len(r), 0.2)
        return len(found.iou), round(float(found.iou.sum()), 9)

    rng = np.random.default_rng(seed)
    p, r = as_array(guess), as_array(truth)
    assert total(rng.permutation(p), rng.permutation(r)) == total(p, r)


def test_a_file_in_another_order_scores_alike(tmp_path: Path) -> None:
    # Overlapping predictions and truths of several classes: everything must come out equal.
    rng = np.random.default_rng(3)
    truth = [box(x, y, x + w, y + 9) for x, y, w in rng.integers(2, 40, (30, 3)).tolist()]
    guess = [box(x, y, x + w, y + 8) for x, y, w in rng.integers(2, 40, (30, 3)).tolist()]
    heights = rng.uniform(0, 150, 30)
    extent = blank(tmp_path / "s.tif", 90)
    found = []
    for name in ("a", "b"):
        rows, columns = rng.permutation(30), rng.permutation(30)
        ref = write_vector(
            tmp_path / f"r{name}.gpkg",
            [truth[i] for i in rows],
            fields={"h": [heights[i] for i in rows]},
        )
        pred = write_vector(tmp_path / f"p{name}.gpkg", [guess[i] for i in columns])
        options = EvaluateOptions(extent=extent, height_field="h", tile_px=30, iou=0.3)
        found.append(evaluate_files(pred, ref, options))
    first, second = found
    assert first.objects.true_positives > 3
    for name in ("pixels", "tile_mean", "boundary", "objects", "classes"):
        assert getattr(first, name) == getattr(second, name)


def test_a_multipolygon_is_one_building(tmp_path: Path) -> None:
    both = shapely.MultiPolygon([box(2, 2, 6, 6), box(8, 2, 10, 6)])
    ref = write_vector(tmp_path / "r.gpkg", [both])
    pred = write_vector(tmp_path / "p.gpkg", [box(2, 2, 6, 6), box(8, 2, 10, 6)])
    # The larger part has IoU 16 / 24 with the whole and matches; the smaller is surplus.
    found = evaluate_files(pred, ref).objects
    assert (found.true_positives, found.false_positives, found.false_negatives) == (1, 1, 0)
