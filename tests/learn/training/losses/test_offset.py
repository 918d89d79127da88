"""The loss of a step is its error in metres, on roofs alone."""

from __future__ import annotations

import pytest
import torch

from buildext.learn.training.config import LossSection
from buildext.learn.training.losses import segmentation_loss
from buildext.learn.training.losses.offset import offset_loss


def logit_of(metres: list[float], range_m: float) -> torch.Tensor:
    return torch.logit(0.5 + torch.tensor(metres) / (2 * range_m))


def test_it_is_the_huber_loss_in_metres() -> None:
    target = torch.tensor([0.5, 0.6, 0.5, 0.5])
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0])
    # Errors of 0.5 m, 8 m and 3 m; the last pixel is no roof.
    loss = offset_loss(logit_of([0.5, 2.0, -3.0, 40.0], 50.0), target, weight, 50.0)
    assert float(loss) == pytest.approx((0.125 + 7.5 + 2.5) / 3, rel=1e-4)
    assert float(offset_loss(torch.ones(4), target, torch.zeros(4), 50.0)) == 0


def test_the_gradient_leads_to_the_target_and_stays_on_roofs() -> None:
    logits = torch.zeros(3, requires_grad=True)
    target, weight = torch.tensor([0.9, 0.1, 0.9]), torch.tensor([1.0, 1.0, 0.0])
    offset_loss(logits, target, weight, 50.0).backward()
    assert logits.grad is not None
    assert logits.grad[0] < 0 < logits.grad[1]
    assert logits.grad[2] == 0


def test_in_the_total_it_counts_in_units_of_the_networks_answer() -> None:
    options = LossSection(offset=0.25, offset_range_m=20.0)
    torch.manual_seed(0)
    logits, weight = torch.randn(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    target = torch.rand(2, 3, 8, 8)
    losses = segmentation_loss(
        logits, target, weight, ("building", "offset_x", "offset_y"), options
    )
    steps = losses["offset_x"] + losses["offset_y"]
    # One unit of an answer, scaled by 1/16 before the sigmoid, is 20 m / 32 near zero.
    expected = losses["building"] + 0.25 * steps / (20 / 32)
    assert float(losses["total"]) == pytest.approx(float(expected))
