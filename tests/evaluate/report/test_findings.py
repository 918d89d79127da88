"""Verdicts on single buildings, against a place known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

from buildext.evaluate import evaluate_files
from buildext.evaluate.report.chips import describe, worst_places
from buildext.evaluate.report.findings import Findings, displacements_m, f1_by, findings_of
from tests.evaluate.report.made import SIDE, TRUE, options, write_place


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    pred, ref, image = write_place(tmp_path_factory.mktemp("place"))
    return findings_of(evaluate_files(pred, ref, options(image)))


def number_of(findings: Findings, polygon: shapely.Polygon, *, ref: bool) -> int:
    """Index of the building at a place; y of the ground plane runs down."""
    polygons = (findings.ref if ref else findings.pred).polygons
    x, y = polygon.centroid.x, SIDE - polygon.centroid.y
    (found,) = np.flatnonzero(shapely.contains_xy(polygons, x, y))
    return int(found)


def test_matches_are_those_of_the_scores(tmp_path: Path) -> None:
    pred, ref, image = write_place(tmp_path)
    evaluation = evaluate_files(pred, ref, options(image))
    objects, found = evaluation.objects, findings_of(evaluation)
    assert found.pred.matched.sum() == found.ref.matched.sum() == objects.true_positives == 3
    assert found.pred.unmatched.sum() == objects.false_positives == 2
    assert found.ref.unmatched.sum() == objects.false_negatives == 2


def test_splits_and_merges(findings: Findings) -> None:
    split = number_of(findings, TRUE[1], ref=True)
    assert np.flatnonzero(findings.ref.several).tolist() == [split]
    assert findings.ref.contents[split] == 2
    (merge,) = np.flatnonzero(findings.pred.several)
    assert shapely.area(findings.pred.polygons[merge]) == pytest.approx(220)


def test_wrong_area(findings: Findings) -> None:
    expected = (20, 40, 100, 100, 100)  # 2·10 m of shift; the smaller part; all; 220 - 120; all
    for polygon, wrong_m2 in zip(TRUE, expected, strict=True):
        i = number_of(findings, polygon, ref=True)
        assert findings.ref.wrong_m2[i] == pytest.approx(wrong_m2, abs=1e-6)


def test_displacements_are_of_mutual_largest_overlaps(findings: Findings) -> None:
    steps = {tuple(step) for step in displacements_m(findings).round(6)}
    # The shift; the larger part of the split (20–30 to 24–30); the merge and its larger building.
    assert steps == {(1.0, 0.0), (2.0, 0.0), (-5.0, 0.0)}


def test_f1_by_height_charges_false_predictions_to_the_nearest(findings: Findings) -> None:
    assert findings.heights_m is not None
    binned = f1_by(findings, findings.heights_m, np.array([0.0, 12.0, 100.0]))
    assert binned.true.tolist() == [2, 3]
    # Low: 2 matched, the smaller part false. High: 1 matched, 2 missed, one false.
    assert binned.f1.tolist() == [4 / 5, 2 / 5]


def test_worst_places_come_in_order_and_lie_inside(findings: Findings) -> None:
    places = worst_places(findings)
    wrong = [
        (findings.ref if place.is_ref else findings.pred).wrong_m2[place.index] for place in places
    ]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] == pytest.approx(100)
    for place in places:
        assert findings.frame.box.buffer(1e-6).covers(place.box)
    assert worst_places(findings, count=1) == places[:1]


def test_descriptions_say_what_is_wrong(findings: Findings) -> None:
    texts = " | ".join(describe(findings, place) for place in worst_places(findings))
    assert "missed, 100 m², nothing there, 50 m high" in texts
