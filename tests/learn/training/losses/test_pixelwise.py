"""Cross-entropy and focal loss against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from buildext.learn.training.losses.pixelwise import bce_loss, focal_loss
from tests.learn.training.losses.arrays import as_numpy, draw

LOG3 = math.log(3.0)  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4
LOGITS = torch.tensor([LOG3, -LOG3, LOG3, 0.0])
TARGET = torch.tensor([1.0, 0.0, 0.0, 1.0])
WEIGHT = torch.tensor([1.0, 1.0, 1.0, 0.0])


def test_bce_is_the_mean_over_weighted_pixels() -> None:
    expected = (-math.log(0.75) - math.log(0.75) - math.log(0.25)) / 3
    assert bce_loss(LOGITS, TARGET, WEIGHT).item() == pytest.approx(expected)


def test_bce_multiplies_positive_pixels() -> None:
    expected = (-3 * math.log(0.75) - math.log(0.75) - math.log(0.25)) / 3
    assert bce_loss(LOGITS, TARGET, WEIGHT, positive=3.0).item() == pytest.approx(expected)


def test_half_a_weight_counts_half() -> None:
    weight = torch.tensor([1.0, 0.0, 0.5, 0.0])
    expected = (-math.log(0.75) - 0.5 * math.log(0.25)) / 1.5
    assert bce_loss(LOGITS, TARGET, weight).item() == pytest.approx(expected)


def test_focal_by_hand() -> None:
    # (1 - p)^2 is 1/16 where 3/4 is given to the truth, 9/16 where 1/4 is.
    right, wrong = math.log(0.75) / 16, 9 / 16 * math.log(0.25)
    expected = -(0.25 * right + 0.75 * right + 0.75 * wrong) / 3
    assert focal_loss(LOGITS, TARGET, WEIGHT, 2.0, 0.25).item() == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("soft", [False, True])
def test_focal_equals_its_formula(gamma: float, soft: bool) -> None:
    pixels = draw(1, soft=soft)
    s, t, w = as_numpy(pixels)
    entropy = -0.3 * 2 * t * np.log(s) - 0.7 * (1 - t) * np.log(1 - s)
    expected = (w * np.abs(t - s) ** gamma * entropy).sum() / w.sum()
    assert focal_loss(*pixels, gamma, 0.3, 2.0).item() == pytest.approx(expected)
