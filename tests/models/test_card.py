"""The card: what it refuses, and that its refusals name what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buildext.errors import DamagedModelError, ModelError
from buildext.models.card import CARD_NAME, Card, read_card

SMALLEST: dict[str, Any] = {
    "name": "tiny",
    "network": {"encoder": "tu-tf_efficientnetv2_b0"},
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.2],
    "gsd": {"min_m": 0.1, "max_m": 0.6, "preferred_m": 0.3},
}


def write(folder: Path, content: Any) -> Path:
    (folder / CARD_NAME).write_text(json.dumps(content), "utf-8")
    return folder


def test_the_smallest_card_reads_and_writes_back(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, SMALLEST))
    assert card.channels == ("building",)
    assert card.thresholds.building == 0.5
    assert card.fill == (128, 102, 76)
    (tmp_path / CARD_NAME).write_text(card.dumps(), "utf-8")
    assert read_card(tmp_path) == card


def test_a_card_cannot_be_changed() -> None:
    card = Card.model_validate(SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "blue"}, "colour"),
        ({"schema_version": 2}, "schema_version"),
        ({"label_kind": "garden"}, "label_kind"),
        ({"tile_px": "large"}, "tile_px"),
        ({"tile_px": 100}, "tile_px"),
        ({"gsd": {"min_m": 0.1, "max_m": 0.6}}, "gsd.preferred_m"),
        ({"gsd": {"min_m": -1, "max_m": 0.6, "preferred_m": 0.3}}, "gsd.min_m"),
        ({"gsd": {"min_m": 0.5, "max_m": 0.6, "preferred_m": 0.3}}, "gsd.preferred_m"),
        ({"thresholds": {"building": 1.5}}, "thresholds.building"),
        ({"thresholds": {"contact": 0.5}}, "contact"),
        ({"channels": ["contact", "building"]}, "channels"),
        ({"channels": []}, "channels"),
        ({"channels": ["building", "offset_x", "offset_y"]}, "offset_range_m"),
        ({"channels": ["building", "offset_x"], "offset_range_m": 50}, "offset_range_m"),
        ({"offset_range_m": 50}, "offset_range_m"),
        ({"channels": ["building", "offset_x", "offset_y"], "offset_range_m": 0}, "offset_range_m"),
        ({"mean": [0.5]}, "mean"),
        ({"network": {}}, "network.encoder"),
        ({"network": {"encoder": "a", "encoder_depth": 9}}, "network.encoder_depth"),
        ({"name": None}, "name"),
    ],
    ids=str,
)
def test_each_refusal_names_the_key(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(DamagedModelError) as caught:
        read_card(write(tmp_path, {**SMALLEST, **change}))
    assert named in str(caught.value)
    assert str(tmp_path / CARD_NAME) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{}", b'{"name": "tiny"'])
def test_what_is_no_card(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CARD_NAME).write_bytes(content)
    with pytest.raises(DamagedModelError, match="damaged"):
        read_card(tmp_path)


def test_a_folder_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a model folder"):
        read_card(tmp_path)
