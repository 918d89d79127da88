"""Ranks, what nothing beats, and the files."""

from __future__ import annotations

import csv
import io
import json

from buildext.benchmark.accuracy import Accuracy
from buildext.benchmark.arms import Arm
from buildext.benchmark.page import as_page
from buildext.benchmark.result import COLUMNS, Comparison, Row, ranked
from buildext.benchmark.speed import Speed

MACHINE = {
    "machine": {"processor": "one & only", "cores": "2"},
    "versions": dict.fromkeys(("buildext", "openvino", "onnxruntime", "torch"), "1"),
}


def row(name: str, pixels: float, objects: float | None, *speeds: float) -> Row:
    arm = Arm(name, f"models/{name}", "openvino", "f32", False)
    scenes = {"a": Accuracy(pixels, objects), "b": Accuracy(pixels - 0.2, None)}
    return Row(arm, scenes, Speed(speeds, 512, 2, 2))


def names(arms: frozenset[Arm]) -> set[str]:
    return {arm.name for arm in arms}


def compared() -> Comparison:
    rows = [
        row("slow", 0.9, 0.5, 1.0, 1.2, 1.1),
        row("beaten", 0.8, 0.7, 1.0, 0.9, 8.0),
        row("fast", 0.8, None, 3.0, 4.0, 2.9),
        row("twin", 0.8, None, 2.9, 3.0, 4.0),
    ]
    return ranked(rows, MACHINE)


def test_means_are_over_scenes_and_objects_only_where_there_are_some() -> None:
    one = row("one", 0.9, 0.5, 1.0)
    assert round(one.pixel_f1, 9) == 0.8
    assert one.object_f1 == 0.5
    assert row("two", 0.9, None, 1.0).object_f1 is None


def test_ranked_by_accuracy_then_speed() -> None:
    assert [r.arm.name for r in compared().rows] == ["slow", "fast", "twin", "beaten"]


def test_what_nothing_beats() -> None:
    # The median counts: one lucky round of 8 does not save the third. Equals both stay.
    assert names(compared().best()) == {"slow", "fast", "twin"}
    # By objects only those that have a score: fewer right, but faster by a hair, and the best.
    assert names(compared().best(by_objects=True)) == {"slow", "beaten"}


def test_files_say_the_same() -> None:
    comparison = compared()
    table = list(csv.DictReader(io.StringIO(comparison.as_csv())))
    assert tuple(table[0]) == COLUMNS
    assert [line["model"] for line in table] == ["slow", "fast", "twin", "beaten"]
    assert table[1]["object_f1"] == ""
    assert float(table[1]["mp_s"]) == 3.0
    read = json.loads(comparison.as_json())
    assert read["rows"][0]["scenes"]["b"] == {"pixel_f1": 0.7, "object_f1": None}
    assert read["rows"][3]["rounds_mp_s"] == [1.0, 0.9, 8.0]
    assert read["environment"] == MACHINE


def test_the_page_has_picture_and_rows() -> None:
    page = as_page(compared())
    assert "<svg" in page
    assert "one &amp; only" in page
    assert page.count("models/") == 0
    assert page.index(">slow<") < page.index(">beaten<")
