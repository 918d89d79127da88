"""What every loss promises, whatever it computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from buildext.learn.training.config import LossSection
from buildext.learn.training.losses import channel_loss, segmentation_loss
from tests.learn.training.losses.arrays import OPTIONS, Pixels, draw

every_loss = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def gradient_of(pixels: Pixels, options: LossSection) -> tuple[torch.Tensor, torch.Tensor]:
    logits = pixels.logits.clone().requires_grad_()
    loss = channel_loss(logits, pixels.target, pixels.weight, options, 3.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


@every_loss
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), soft=st.booleans(), other=st.floats(-50, 50))
def test_a_pixel_without_weight_has_no_influence_and_no_gradient(
    options: LossSection, seed: int, soft: bool, other: float
) -> None:
    pixels = draw(seed, soft=soft, dtype=torch.float32)
    ignored = pixels.weight == 0
    loss, gradient = gradient_of(pixels, options)
    assert torch.equal(gradient[ignored], torch.zeros(int(ignored.sum())))
    changed = pixels._replace(
        logits=pixels.logits.masked_fill(ignored, other),
        target=torch.where(ignored, 1 - pixels.target, pixels.target),
    )
    loss_changed, gradient_changed = gradient_of(changed, options)
    assert torch.equal(loss, loss_changed)
    assert torch.equal(gradient, gradient_changed)


@every_loss
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_the_gradient_is_that_of_the_loss(options: LossSection, soft: bool) -> None:
    if options.robust == "bootstrap-hard":
        # Its belief jumps at 0: keep clear of it.
        pixels = draw(5, soft=soft)
        assert pixels.logits.abs().min() > 1e-3
    _, target, weight = draw(5, soft=soft)
    logits = draw(5).logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: channel_loss(x, target, weight, options, 3.0), logits, atol=1e-6
    )


@every_loss
def test_no_label_means_no_loss_and_no_gradient(options: LossSection) -> None:
    pixels = draw(1, dtype=torch.float32)
    loss, gradient = gradient_of(pixels._replace(weight=torch.zeros(3, 4, 5)), options)
    assert loss.item() == 0
    assert not gradient.any()


@every_loss
@pytest.mark.parametrize("value", [0.0, 1.0], ids=["no building", "only buildings"])
def test_one_class_alone_is_defined(options: LossSection, value: float) -> None:
    pixels = draw(2, dtype=torch.float32)
    one = pixels._replace(target=torch.full((3, 4, 5), value))
    loss, gradient = gradient_of(one, options)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    # It still says which way is better: never away from the class that is there.
    towards = gradient if value == 0 else -gradient
    weak = options.robust.startswith("bootstrap")
    assert weak or (towards >= 0).all()
    assert towards.max() > 0


@every_loss
def test_a_right_batch_costs_nothing_and_a_wrong_one_something(options: LossSection) -> None:
    pixels = draw(3, dtype=torch.float32)
    right = pixels._replace(logits=50 * (2 * pixels.target - 1))
    assert gradient_of(right, options)[0].item() == pytest.approx(0.0, abs=1e-5)
    assert gradient_of(right._replace(logits=-right.logits), options)[0].item() > 0.5


@every_loss
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_float32_is_enough_for_logits_of_fifty(options: LossSection, soft: bool) -> None:
    pixels = draw(4, soft=soft)
    signs = pixels.logits.sign()
    extreme = pixels._replace(logits=torch.where(pixels.logits.abs() > 1, 50 * signs, signs))
    loss, gradient = gradient_of(extreme, options)
    single, gradient_single = gradient_of(Pixels(*(v.float() for v in extreme)), options)
    assert torch.isfinite(gradient_single).all()
    torch.testing.assert_close(single, loss.float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient_single, gradient.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        LossSection(kind="bce"),
        LossSection(kind="focal", focal_alpha=0.5),
        LossSection(kind="dice"),
        LossSection(kind="jaccard"),
        LossSection(kind="tversky"),
        LossSection(kind="focal-tversky"),
        LossSection(kind="mcc"),
        LossSection(kind="bce+dice"),
    ],
    ids=lambda options: options.kind,
)
def test_the_best_answer_to_a_soft_target_is_the_target(options: LossSection) -> None:
    _, target, weight = draw(6, soft=True)
    best = torch.logit(target)
    least = channel_loss(best, target, weight, options)
    for step in (-0.3, -0.01, 0.01, 0.3):
        for pixel in range(target.numel()):
            moved = best.clone()
            moved.view(-1)[pixel] += step
            assert channel_loss(moved, target, weight, options) >= least


@every_loss
def test_descending_finds_the_target(options: LossSection) -> None:
    _, target, _ = draw(7)
    logits = torch.zeros_like(target, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        channel_loss(logits, target, torch.ones_like(target), options).backward()
        optimiser.step()
    assert torch.equal(logits > 0, target > 0.5)


@every_loss
def test_total_weighs_the_channels(options: LossSection) -> None:
    building, contact = draw(8, dtype=torch.float32), draw(9, dtype=torch.float32)
    options = options.model_copy(update={"contact": 0.5, "contact_positive": 3.0})
    both = (torch.stack(pair, 1) for pair in zip(building, contact, strict=True))
    losses = segmentation_loss(*both, ("building", "contact"), options)
    torch.testing.assert_close(losses["building"], channel_loss(*building, options))
    torch.testing.assert_close(losses["contact"], channel_loss(*contact, options, 3.0))
    torch.testing.assert_close(losses["total"], losses["building"] + 0.5 * losses["contact"])


@pytest.mark.parametrize("kind", ["dice", "focal", "lovasz", "mcc"])
def test_a_robust_loss_needs_a_cross_entropy_to_replace(kind: str) -> None:
    with pytest.raises(ValidationError, match="take kind 'bce' or 'bce\\+dice'"):
        LossSection(kind=kind, robust="gce")
