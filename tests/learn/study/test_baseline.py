"""The colour threshold finds a colour where there is one, and knows when there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from buildext.learn.study.baseline import choose_threshold, colour_baseline, score_threshold
from buildext.learn.training.tiles.tensors import Batch


def tile(seed: int, roof: tuple[int, int, int], ground: tuple[int, int, int]) -> Batch:
    """A noisy tile with roofs in its left half and a corner without labels."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((32, 32), np.uint8)
    truth[:, :16] = 1
    image = np.where(truth[..., None] > 0, roof, ground) + rng.integers(-20, 21, (32, 32, 3))
    weight = np.ones((32, 32), np.uint8)
    weight[:4, :4] = 0
    image[:4, :4] = ground
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return {
        "image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0))),
        "target": torch.from_numpy(truth[None]).half(),
        "weight": torch.from_numpy(weight[None]).half(),
    }


@pytest.mark.parametrize(
    ("roof", "ground", "features"),
    [
        ((200, 200, 200), (100, 100, 100), {"brightness", "red", "green", "blue"}),
        ((60, 60, 60), (160, 160, 160), {"brightness", "red", "green", "blue"}),
        ((190, 90, 90), (100, 100, 190), {"red - blue", "red", "blue"}),
        ((150, 150, 150), (115, 185, 115), {"excess green", "saturation", "red - green"}),
    ],
)
def test_the_telling_feature_is_found(
    roof: tuple[int, int, int], ground: tuple[int, int, int], features: set[str]
) -> None:
    training = [tile(i, roof, ground) for i in range(4)]
    baseline = colour_baseline(training, {"town": [tile(9, roof, ground)]}, 0)
    assert baseline.rule.feature in features
    assert baseline.score > 0.97


def test_the_chosen_threshold_scores_as_counted() -> None:
    """The histogram's F1 is that of the rule applied pixel by pixel, which no other beats."""
    tiles = [tile(i, (140, 130, 120), (120, 125, 130)) for i in range(6)]
    rule = choose_threshold(tiles, 0)
    score = score_threshold(rule, {"town": tiles}, 0)
    for feature in ("brightness", "red", "red - blue"):
        for threshold in np.linspace(-50, 255, 40):
            for above in (True, False):
                other = type(rule)(feature, float(threshold), above)
                assert score_threshold(other, {"town": tiles}, 0) <= score + 1e-3


def test_without_a_colour_everything_is_building() -> None:
    """The best that a threshold can do then is to say building everywhere: F1 2p / (1 + p)."""
    tiles = [tile(i, (128, 128, 128), (128, 128, 128)) for i in range(4)]
    share = (512 - 16) / (1024 - 16)
    baseline = colour_baseline(tiles, {"town": tiles}, 0)
    assert baseline.score == pytest.approx(2 * share / (1 + share), abs=0.02)


def test_datasets_count_alike_and_unlabelled_ones_not() -> None:
    good = [tile(i, (200, 200, 200), (100, 100, 100)) for i in range(3)]
    unknown = [{**good[0], "weight": torch.zeros(1, 32, 32)}]
    reversed_ = [tile(5, (100, 100, 100), (200, 200, 200))]
    rule = choose_threshold(good, 0)
    monitor = {"good": good, "unknown": unknown, "reversed": reversed_}
    halves = [score_threshold(rule, {"x": tiles}, 0) for tiles in (good, reversed_)]
    assert score_threshold(rule, monitor, 0) == pytest.approx(sum(halves) / 2)
    assert np.isnan(score_threshold(rule, {"unknown": unknown}, 0))
