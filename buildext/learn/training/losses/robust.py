"""Losses for labels that may be wrong: cross-entropy with less trust in each label.

Labels drawn on another image are shifted; a network trained long enough on them learns the shift.
Bootstrapping mixes the label with what the network already believes. Generalised cross-entropy
bends the logarithm towards the absolute error, so that a label far from everything learnt pulls
with a bounded force. Both stand in the place of the cross-entropy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from buildext.learn.training.losses.pixelwise import weighted_mean


def bootstrap_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    trust: float,
    *,
    hard: bool,
    positive: float = 1.0,
) -> torch.Tensor:
    """Cross-entropy against `β t + (1 - β) z` (Reed et al. 2015, eqs. 6 and 7).

    Soft: z is the probability s itself, and the gradient runs through it too; that is a pull
    towards low entropy. Hard: z is 1 where s > 1/2, else 0, a constant.

    Args:
        logits: any shape, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
        trust: β, the share of the label; the paper takes 0.95 (soft) and 0.8 (hard).
        hard: which of the two.
        positive: factor of positive pixels.
    """
    belief = (logits > 0).to(logits.dtype) if hard else torch.sigmoid(logits)
    mixed = trust * target + (1 - trust) * belief
    losses = positive * mixed * F.softplus(-logits) + (1 - mixed) * F.softplus(logits)
    return weighted_mean(losses, weight)


def gce_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    q: float,
    positive: float = 1.0,
) -> torch.Tensor:
    """Mean of `p t (1 - s^q)/q + (1 - t) (1 - (1 - s)^q)/q` (Zhang & Sabuncu 2018).

    q near 0 is the cross-entropy, q = 1 the absolute error. Targets between 0 and 1 are taken as
    the chance of a label, and the loss is its expectation.

    Args:
        logits: any shape, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
        q: above 0, at most 1; the paper takes 0.7.
        positive: the factor p of positive pixels.
    """
    missed = -torch.expm1(q * F.logsigmoid(logits)) / q
    wrong = -torch.expm1(q * F.logsigmoid(-logits)) / q
    return weighted_mean(positive * target * missed + (1 - target) * wrong, weight)
