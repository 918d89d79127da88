"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from buildext.learn.training.config import LossSection
from buildext.learn.training.losses import dice_loss, segmentation_loss, weighted_bce

LOG3 = math.log(3.0)  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4
LOGITS = torch.tensor([LOG3, -LOG3, LOG3, 0.0])
TARGET = torch.tensor([1.0, 0.0, 0.0, 1.0])
WEIGHT = torch.tensor([1.0, 1.0, 1.0, 0.0])


def test_bce_is_the_mean_over_weighted_pixels() -> None:
    expected = (-math.log(0.75) - math.log(0.75) - math.log(0.25)) / 3
    assert weighted_bce(LOGITS, TARGET, WEIGHT).item() == pytest.approx(expected)


def test_bce_multiplies_positive_pixels() -> None:
    expected = (-3 * math.log(0.75) - math.log(0.75) - math.log(0.25)) / 3
    assert weighted_bce(LOGITS, TARGET, WEIGHT, positive=3.0).item() == pytest.approx(expected)


def test_dice_counts_soft_overlap() -> None:
    # Overlap 0.75; sums 0.75 + 0.25 + 0.75 and 1.
    expected = 1 - (2 * 0.75 + 1) / (1.75 + 1 + 1)
    assert dice_loss(LOGITS, TARGET, WEIGHT).item() == pytest.approx(expected)


def test_no_labelled_pixel_means_no_loss_and_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = weighted_bce(logits, TARGET, WEIGHT * 0) + dice_loss(logits, TARGET, WEIGHT * 0)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_total_weighs_the_channels() -> None:
    logits = LOGITS.reshape(1, 1, 2, 2).repeat(1, 2, 1, 1)
    target = TARGET.reshape(1, 1, 2, 2).repeat(1, 2, 1, 1)
    weight = WEIGHT.reshape(1, 1, 2, 2).repeat(1, 2, 1, 1)
    options = LossSection(contact=0.5, contact_positive=3.0)
    losses = segmentation_loss(logits, target, weight, ("building", "contact"), options)
    dice = dice_loss(LOGITS, TARGET, WEIGHT)
    building = weighted_bce(LOGITS, TARGET, WEIGHT) + dice
    contact = weighted_bce(LOGITS, TARGET, WEIGHT, 3.0) + dice
    torch.testing.assert_close(losses["building"], building)
    torch.testing.assert_close(losses["contact"], contact)
    torch.testing.assert_close(losses["total"], building + 0.5 * contact)
