"""Scores by height: a false alarm is blamed on the nearest building."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.monitor import score_tiles
from buildext.learn.training.tiles.height_classes import class_names, nearest_class

LIMITS_M = (12.0, 36.0, 100.0)


def test_the_nearest_building_decides() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[5:10, 5:10], labels[20:30, 40:50], labels[2:4, 50:58] = 1, 2, 3
    heights = np.array([0, 12.0, 99.0, np.nan], np.float32)
    classes = nearest_class(labels, heights, LIMITS_M)
    # Independently: the exact distance to each building.
    distance = np.stack([ndimage.distance_transform_edt(labels != i) for i in (1, 2, 3)])
    expected = np.array([2, 3, 0])[distance.argmin(0)]
    margin = np.sort(distance, 0)
    clear = margin[1] - margin[0] > 1.0
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(classes[clear], expected[clear])
    assert not nearest_class(np.zeros((8, 8), np.int32), heights, LIMITS_M).any()


def test_names_of_classes() -> None:
    assert class_names(LIMITS_M) == ["< 12 m", "12-36 m", "36-100 m", ">= 100 m"]


def test_scores_by_height_add_up(config: TrainingConfig) -> None:
    sight = build_sight(config.network, 1, torch.float32)
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    target, weight = torch.zeros(2, 64, 64), torch.ones(2, 64, 64)
    target[0, :20, :20], target[0, 40:, 40:] = 1, 1
    classes = torch.ones(64, 64, dtype=torch.uint8)
    classes[:, 32:] = 4
    tile = {"image": image, "target": target, "weight": weight, "height_class": classes}
    scores = score_tiles(sight, {"town": [tile]}, LIMITS_M, 100.0)
    with torch.no_grad():
        found = sight(image[None])[0, 0] > 0
    for name, part in (("< 12 m", np.s_[:, :32]), (">= 100 m", np.s_[:, 32:])):
        f, t = found[part], target[0][part] > 0
        expected = 2 * float((f & t).sum()) / float(f.sum() + t.sum())
        assert scores[f"town/building {name}"] == pytest.approx(expected)
    assert "town/building 12-36 m" not in scores
    assert scores["mean/building"] == scores["town/building"]
