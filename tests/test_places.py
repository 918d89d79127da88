"""Leave one place out: no dataset of a place that is judged may have taught the network."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.places import PLACES, SCORES, judge, set_key, table

ROOT = Path(__file__).parents[1]
KNOWN = tomllib.loads(PLACES.read_text())


def cards() -> dict[str, dict[str, object]]:
    found = (ROOT / "datasets").glob("*/dataset.toml")
    return {path.parent.name: tomllib.loads(path.read_text()) for path in found}


def test_every_dataset_of_a_real_place_belongs_to_one() -> None:
    real = {name for name, card in cards().items() if card["sensor"] != "rendered"}
    members = Counter(name for names in KNOWN["places"].values() for name in names)
    assert set(members) == real
    assert set(members.values()) == {1}


def test_folds_leave_every_place_out_once() -> None:
    left_out = Counter(place for places in KNOWN["folds"].values() for place in places)
    assert set(left_out) == set(KNOWN["places"])
    assert set(left_out.values()) == {1}


def test_only_complete_clean_labels_judge() -> None:
    assert judge("kampala_b") is not None
    assert judge("nairobi") is None
    assert judge("accra_east") is None
    # Its labels end inside of the scene.
    assert judge("nairobi_checked") is None


def test_a_place_counts_once_in_the_means(tmp_path: Path) -> None:
    row = {"f1": 0.8, "iou": 0.7, "boundary_f1": 0.5, "object_f1": 0.6, "instances": True}
    given = {
        "town": {"a": row, "b": row | {"f1": 0.4, "object_f1": 0.2}},
        "suburb": {"c": row | {"f1": 0.9, "object_f1": 0.1, "instances": False}},
    }
    for place, rows in given.items():
        (tmp_path / place).mkdir()
        (tmp_path / place / SCORES).write_text(json.dumps(rows))
    lines = table(tmp_path).splitlines()
    assert len(lines) == 2 + 3 + 1
    assert "| suburb | c | 0.900 | 0.700 | 0.500 | – |" in lines
    assert lines[-1].startswith("| **mean of 2 places** | | **0.750** |")
    assert lines[-1].endswith("**0.400** |")


@pytest.mark.parametrize("path", [["a"], ["a", "b"]])
def test_set_key(path: list[str]) -> None:
    recipe: dict[str, object] = {}
    set_key(recipe, path, 3)
    assert recipe == ({"a": 3} if len(path) == 1 else {"a": {"b": 3}})
