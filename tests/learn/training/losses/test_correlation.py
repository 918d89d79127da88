"""Matthews' correlation against its four counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from buildext.learn.training.losses.correlation import mcc_loss
from tests.learn.training.losses.arrays import as_numpy, draw


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_papers_formula_with_a_pixel_of_each_class_added(seed: int) -> None:
    pixels = draw(seed)
    s, t, w = as_numpy(pixels)
    tp, tn = (w * s * t).sum() + 1, (w * (1 - s) * (1 - t)).sum() + 1
    fp, fn = (w * s * (1 - t)).sum(), (w * (1 - s) * t).sum()
    spread = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert mcc_loss(*pixels).item() == pytest.approx(1 - (tp * tn - fp * fn) / spread)


def test_is_the_correlation_of_two_masks() -> None:
    rng = np.random.default_rng(0)
    found, truth = rng.random(2000) < 0.3, rng.random(2000) < 0.1
    truth |= found & (rng.random(2000) < 0.5)
    logits = torch.from_numpy(np.where(found, 60.0, -60.0))
    loss = mcc_loss(logits, torch.from_numpy(truth).double(), torch.ones(2000))
    # The two added pixels move it a little.
    expected = np.corrcoef(np.append(found, [1, 0]), np.append(truth, [1, 0]))[0, 1]
    assert 1 - loss.item() == pytest.approx(expected)


def test_swapping_the_classes_changes_nothing() -> None:
    logits, target, weight = draw(2)
    swapped = mcc_loss(-logits, 1 - target, weight)
    torch.testing.assert_close(mcc_loss(logits, target, weight), swapped)


def test_a_million_pixels_of_a_rare_class_in_float32() -> None:
    rng = np.random.default_rng(1)
    target = torch.from_numpy((rng.random(2**20) < 1e-4).astype(np.float64))
    logits = torch.from_numpy(rng.normal(-12, 1, 2**20)) + 24 * target
    weight = torch.ones_like(target)
    exact = mcc_loss(logits, target, weight)
    single = mcc_loss(logits.float(), target.float(), weight.float())
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-6)
