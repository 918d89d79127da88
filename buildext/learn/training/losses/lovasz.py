"""The Lovász hinge: the Jaccard index of the thresholded mask, made continuous.

The Jaccard loss of a set S of wrong pixels is a submodular set function. Its Lovász extension is
the tightest convex function through it, and takes in place of S the hinge errors of all pixels:
sort them, largest first, let the pixels turn wrong one after another, and weigh each error by how
much the Jaccard loss rises at its turn (Berman et al. 2018, alg. 1).
"""

from __future__ import annotations

import torch


def lovasz_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, per_image: bool
) -> torch.Tensor:
    """The Lovász hinge of images `(N, ...)`.

    Weights enter as areas: a pixel of weight w counts as w pixels. A pixel of soft target t is w t
    positive and w (1 - t) negative pixels at one place, so t of 0 and 1 give the paper's loss.

    Args:
        logits: `(N, ...)`, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
        per_image: the mean over the images that have a label, instead of one index for all.
    """
    if not per_image:
        return _hinge(logits.flatten(), target.flatten(), weight.flatten())
    images = zip(logits.flatten(1), target.flatten(1), weight.flatten(1), strict=True)
    losses = [_hinge(*image) for image in images]
    labelled = (weight.flatten(1) > 0).any(1).sum()
    return torch.stack(losses).sum() / labelled.clamp(min=1)


def _hinge(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The loss of one set of pixels, all `(P,)`; 0 where no pixel has weight."""
    positive, negative = weight * target, weight * (1 - target)
    # Pixels right by a margin have no error and come last: most need not be sorted.
    missed, found = (positive > 0) & (logits < 1), (negative > 0) & (logits > -1)
    errors = torch.cat([1 - logits[missed], 1 + logits[found]])
    areas = torch.cat([positive[missed], negative[found]])
    errors, order = errors.sort(descending=True, stable=True)
    turned = areas[order]
    lost = torch.where(order < missed.sum(), turned, 0.0)
    return errors @ jaccard_steps(lost, turned - lost, positive.sum())


def jaccard_steps(lost: torch.Tensor, added: torch.Tensor, actual: torch.Tensor) -> torch.Tensor:
    """How much the Jaccard loss `1 - I/U` rises as each pixel turns wrong, `(P,)`.

    A positive pixel takes its area a from the intersection I, a negative one adds its area b to
    the union U. The rise I/U − (I − a)/(U + b) is written over one denominator, for the difference
    of two ratios near each other keeps few digits.

    Args:
        lost: area a of each pixel in turn, 0 for negative ones.
        added: area b of each pixel in turn, 0 for positive ones.
        actual: area of all positive pixels, those that stay right included; a scalar.
    """
    intersection = (actual - lost.cumsum(0)).clamp(min=0.0)
    union = actual + added.cumsum(0)
    before = torch.cat([actual[None], union])[:-1]
    steps = (lost * union + intersection * added) / (before * union)
    # Without a positive pixel the loss jumps from 0 to 1 at the first wrong one.
    return torch.where(before > 0, steps, 1.0)
