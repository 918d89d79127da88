"""The Lovász hinge against the set function that it extends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from buildext.learn.training.losses.lovasz import lovasz_loss
from tests.learn.training.losses.arrays import draw


def jaccard_of(wrong: np.ndarray, truth: np.ndarray, area: np.ndarray) -> float:
    """1 − |found ∩ truth| / |found ∪ truth| when the pixels in `wrong` are wrong."""
    if not wrong.any():
        return 0.0
    found = truth ^ wrong
    return float(1 - area[found & truth].sum() / area[found | truth].sum())


def extension(logits: np.ndarray, truth: np.ndarray, area: np.ndarray) -> float:
    """The definition: errors in falling order, each times the rise of the set function."""
    errors = np.maximum(1 - logits * (2.0 * truth - 1), 0)
    wrong, before, total = np.zeros(len(truth), bool), 0.0, 0.0
    for pixel in np.argsort(-errors):
        wrong[pixel] = True
        after = jaccard_of(wrong, truth, area)
        total += errors[pixel] * (after - before)
        before = after
    return total


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_the_definition(seed: int) -> None:
    logits, target, weight = draw(seed)
    loss = lovasz_loss(logits, target, weight, per_image=False)
    flat = [v.numpy().ravel()[weight.numpy().ravel() > 0] for v in (logits, target, weight)]
    assert loss.item() == pytest.approx(extension(flat[0], flat[1] > 0, flat[2]))


@given(st.integers(0, 2**32 - 1))
def test_is_the_jaccard_loss_where_errors_are_nought_or_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, wrong = rng.random(12) < 0.5, rng.random(12) < 0.3
    logits = np.where(wrong, 0.0, np.where(truth, 1.0, -1.0))
    loss = lovasz_loss(
        torch.from_numpy(logits), torch.from_numpy(truth).double(), torch.ones(12).double(), False
    )
    assert loss.item() == pytest.approx(jaccard_of(wrong, truth, np.ones(12)))


def test_per_image_is_the_mean_over_labelled_images() -> None:
    logits, target, weight = draw(3)
    weight[1] = 0
    alone = [lovasz_loss(logits[i], target[i], weight[i], per_image=False) for i in (0, 2)]
    loss = lovasz_loss(logits, target, weight, per_image=True)
    torch.testing.assert_close(loss, (alone[0] + alone[1]) / 2)


def test_a_soft_pixel_is_a_positive_and_a_negative_one() -> None:
    logits, target, weight = (v.flatten() for v in draw(4, soft=True))
    loss = lovasz_loss(logits, target, weight, per_image=False)
    twice = lovasz_loss(
        torch.cat([logits, logits]),
        torch.cat([torch.ones_like(target), torch.zeros_like(target)]),
        torch.cat([weight * target, weight * (1 - target)]),
        per_image=False,
    )
    torch.testing.assert_close(loss, twice)


def test_without_a_positive_pixel_the_worst_one_counts() -> None:
    logits = torch.tensor([-3.0, 0.5, 2.0, -0.2], requires_grad=True)
    loss = lovasz_loss(logits, torch.zeros(4), torch.ones(4), per_image=False)
    loss.backward()
    assert loss.item() == 3.0
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0, 1.0, 0.0]


def test_a_large_batch_keeps_its_digits_in_float32() -> None:
    rng = np.random.default_rng(0)
    target = torch.from_numpy((rng.random(300_000) < 0.2).astype(np.float64))
    logits = torch.from_numpy(rng.normal(0, 1, 300_000)).requires_grad_()
    weight = torch.ones_like(target)
    exact = torch.autograd.grad(lovasz_loss(logits, target, weight, False), logits)[0]
    single = logits.detach().float().requires_grad_()
    loss = lovasz_loss(single, target.float(), weight.float(), False)
    found = torch.autograd.grad(loss, single)[0]
    # Hundreds of thousands of steps that add up to 1: each must be right, not only their sum.
    assert (found.double() - exact).abs().max() < 1e-4 * exact.abs().max()
