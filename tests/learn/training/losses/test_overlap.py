"""Dice, Jaccard and Tversky against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from buildext.learn.training.losses.overlap import (
    dice_loss,
    focal_tversky_loss,
    jaccard_loss,
    tversky_loss,
)
from tests.learn.training.losses.arrays import as_numpy, draw

LOG3 = math.log(3.0)  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4
LOGITS = torch.tensor([LOG3, -LOG3, LOG3, 0.0])
TARGET = torch.tensor([1.0, 0.0, 0.0, 1.0])
WEIGHT = torch.tensor([1.0, 1.0, 1.0, 0.0])


def test_dice_counts_soft_overlap() -> None:
    # Overlap 0.75; sums 0.75 + 0.25 + 0.75 and 1.
    expected = 1 - (2 * 0.75 + 1) / (1.75 + 1 + 1)
    assert dice_loss(LOGITS, TARGET, WEIGHT).item() == pytest.approx(expected)


def test_jaccard_counts_the_union_once() -> None:
    expected = 1 - (0.75 + 1) / (1.75 + 1 - 0.75 + 1)
    assert jaccard_loss(LOGITS, TARGET, WEIGHT).item() == pytest.approx(expected)


def test_tversky_has_a_price_for_each_error() -> None:
    # Wrongly found 1, missed 0.25.
    expected = 1 - 1.75 / (0.75 + 0.3 * 1 + 0.7 * 0.25 + 1)
    assert tversky_loss(LOGITS, TARGET, WEIGHT, 0.3, 0.7).item() == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_hard_targets_give_the_papers_products(seed: int) -> None:
    pixels = draw(seed)
    s, t, w = as_numpy(pixels)
    tp, fp, fn = (w * s * t).sum(), (w * s * (1 - t)).sum(), (w * (1 - s) * t).sum()
    assert dice_loss(*pixels).item() == pytest.approx(1 - (2 * tp + 1) / (2 * tp + fp + fn + 1))
    assert jaccard_loss(*pixels).item() == pytest.approx(1 - (tp + 1) / (tp + fp + fn + 1))
    tversky = 1 - (tp + 1) / (tp + 0.2 * fp + 0.9 * fn + 1)
    assert tversky_loss(*pixels, 0.2, 0.9).item() == pytest.approx(tversky)
    assert focal_tversky_loss(*pixels, 0.2, 0.9, 4 / 3).item() == pytest.approx(
        tversky**0.75, abs=2e-6
    )


def test_tversky_includes_dice_and_jaccard() -> None:
    pixels = draw(3)
    assert tversky_loss(*pixels, 1.0, 1.0) == pytest.approx(jaccard_loss(*pixels))
    # Without the added pixel, alpha = beta = 1/2 would be Dice; with it, half of one is added.
    s, t, w = as_numpy(pixels)
    tp, size = (w * s * t).sum(), (w * (s + t)).sum()
    assert tversky_loss(*pixels, 0.5, 0.5).item() == pytest.approx(1 - (2 * tp + 2) / (size + 2))
