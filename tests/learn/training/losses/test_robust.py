"""Losses that distrust labels: their formulas, their limits, and that they do resist."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from buildext.learn.training.losses.pixelwise import bce_loss
from buildext.learn.training.losses.robust import bootstrap_loss, gce_loss
from tests.learn.training.losses.arrays import as_numpy, draw

both_targets = pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])


@both_targets
@pytest.mark.parametrize("hard", [False, True], ids=["soft z", "hard z"])
def test_bootstrap_equals_its_formula(hard: bool, soft: bool) -> None:
    pixels = draw(1, soft=soft)
    s, t, w = as_numpy(pixels)
    z = (s > 0.5).astype(float) if hard else s
    mixed = 0.8 * t + 0.2 * z
    losses = -3 * mixed * np.log(s) - (1 - mixed) * np.log(1 - s)
    found = bootstrap_loss(*pixels, 0.8, hard=hard, positive=3.0)
    assert found.item() == pytest.approx((w * losses).sum() / w.sum())


@both_targets
def test_gce_equals_its_formula(soft: bool) -> None:
    pixels = draw(2, soft=soft)
    s, t, w = as_numpy(pixels)
    losses = 3 * t * (1 - s**0.7) / 0.7 + (1 - t) * (1 - (1 - s) ** 0.7) / 0.7
    found = gce_loss(*pixels, 0.7, 3.0)
    assert found.item() == pytest.approx((w * losses).sum() / w.sum())


def test_full_trust_is_cross_entropy() -> None:
    pixels = draw(3, soft=True)
    for hard in (False, True):
        torch.testing.assert_close(bootstrap_loss(*pixels, 1.0, hard=hard), bce_loss(*pixels))


def test_gce_runs_from_cross_entropy_to_the_absolute_error() -> None:
    pixels = draw(4)
    torch.testing.assert_close(gce_loss(*pixels, 1e-7), bce_loss(*pixels), rtol=1e-5, atol=0)
    s, t, w = as_numpy(pixels)
    absolute = (w * np.abs(s - t)).sum() / w.sum()
    assert gce_loss(*pixels, 1.0).item() == pytest.approx(absolute)


@pytest.mark.parametrize("name", ["soft", "hard", "gce"])
def test_a_label_against_firm_belief_pulls_less(name: str) -> None:
    logits = torch.tensor([6.0], requires_grad=True)
    wrong, weight = torch.zeros(1), torch.ones(1)
    losses = {
        "soft": bootstrap_loss(logits, wrong, weight, 0.8, hard=False),
        "hard": bootstrap_loss(logits, wrong, weight, 0.8, hard=True),
        "gce": gce_loss(logits, wrong, weight, 0.7),
    }
    (pull,) = torch.autograd.grad(losses[name], logits)
    (full,) = torch.autograd.grad(bce_loss(logits, wrong, weight), logits)
    assert 0 < pull.item() < 0.85 * full.item()
