"""Losses of each pixel alone: cross-entropy, and cross-entropy that looks at the hard pixels.

Their gradients are smooth and start well, but every pixel counts the same: where one class is
rare, the other one is learnt first. The logarithms are taken of the logit, not of the probability,
so nothing overflows: `-log sigmoid(x) = softplus(-x)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def weighted_mean(losses: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`Σ w l / max(Σ w, 1)`: the mean over weighted pixels, 0 where there is none."""
    return (losses * weight).sum() / weight.sum().clamp(min=1.0)


def bce_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, positive: float = 1.0
) -> torch.Tensor:
    """Mean of `-p t log s - (1 - t) log(1 - s)`, s = sigmoid(logit), over weighted pixels.

    Args:
        logits: any shape, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
        positive: the factor p of positive pixels.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=torch.full((), positive, device=logits.device), reduction="none"
    )
    return weighted_mean(losses, weight)


def focal_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    gamma: float,
    alpha: float,
    positive: float = 1.0,
) -> torch.Tensor:
    """Mean of `|t - s|^γ (-α p t log s - (1 - α) (1 - t) log(1 - s))`, s = sigmoid(logit).

    For t of 0 and 1 this is the focal loss of Lin et al. (2017), eq. 5: pixels that are already
    right fade out. The factor `|t - s|^γ` in place of `(1 - s)^γ` and `s^γ` is that of Li et al.
    (2020, "Generalized focal loss"); it serves soft targets too, which fade out as s nears t.

    Args:
        logits: any shape, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
        gamma: the larger, the faster they fade. At least 1: below, there is a pole at s = t.
        alpha: share of the positive pixels, 0 to 1.
        positive: a further factor p of positive pixels.
    """
    # t - s, written so that neither end loses its last digits.
    gap = target * torch.sigmoid(-logits) - (1 - target) * torch.sigmoid(logits)
    entropy = positive * alpha * target * F.softplus(-logits)
    entropy = entropy + (1 - alpha) * (1 - target) * F.softplus(logits)
    return weighted_mean(gap.abs() ** gamma * entropy, weight)
