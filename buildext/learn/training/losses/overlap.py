"""Losses of overlap: Dice, Jaccard, Tversky and its focal form.

They compare the predicted area with the true one over the whole batch, so a rare class is not
drowned by the other. All are ratios of three sums over weighted pixels, with s = sigmoid(logit):

    overlap   TP      = Σ w min(s, t)
    predicted TP + FP = Σ w s
    actual    TP + FN = Σ w t

For t of 0 and 1, `min(s, t)` is the usual product `s t`. For soft targets it is not, and it has to
be the minimum: with the product the best answer to t = 0.7 is s = 1, with the minimum it is s = t
(Wang et al. 2023, "Jaccard metric losses"; their `(s + t - |s - t|) / 2` is `min(s, t)`).

One pixel is added above and below each ratio. It keeps a batch without a positive pixel defined,
where the loss then still falls with the predicted area.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# A power below 1 has no gradient at 0: the base is shifted by this.
_TINY = 1e-8


@dataclass(frozen=True, slots=True)
class SoftSums:
    """Areas in pixels, as scalars: what both say, what is predicted, what is true."""

    overlap: torch.Tensor
    predicted: torch.Tensor
    actual: torch.Tensor


def soft_sums(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> SoftSums:
    """The three areas; arguments of one shape, target and weight 0 to 1."""
    probability = torch.sigmoid(logits)
    return SoftSums(
        overlap=(torch.minimum(probability, target) * weight).sum(),
        predicted=(probability * weight).sum(),
        actual=(target * weight).sum(),
    )


def dice_loss(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`1 - (2 TP + 1) / (2 TP + FP + FN + 1)` (Milletari et al. 2016, without their squares)."""
    sums = soft_sums(logits, target, weight)
    return 1 - (2 * sums.overlap + 1) / (sums.predicted + sums.actual + 1)


def jaccard_loss(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`1 - (TP + 1) / (TP + FP + FN + 1)` (Rahman & Wang 2016)."""
    sums = soft_sums(logits, target, weight)
    union = sums.predicted + sums.actual - sums.overlap
    return 1 - (sums.overlap + 1) / (union + 1)


def tversky_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, alpha: float, beta: float
) -> torch.Tensor:
    """`1 - (TP + 1) / (TP + α FP + β FN + 1)` (Salehi et al. 2017).

    Args:
        logits: any shape, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
        alpha: the price of a pixel wrongly found; α = β = 1 is Jaccard's loss.
        beta: the price of a pixel missed.
    """
    sums = soft_sums(logits, target, weight)
    wrong = alpha * (sums.predicted - sums.overlap) + beta * (sums.actual - sums.overlap)
    return 1 - (sums.overlap + 1) / (sums.overlap + wrong + 1)


def focal_tversky_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    alpha: float,
    beta: float,
    gamma: float,
) -> torch.Tensor:
    """Tversky's loss to the power `1/γ` (Abraham & Khan 2019, who take γ = 4/3).

    A γ above 1 keeps the gradient up where the overlap is already good.
    """
    # Rounding may leave the loss of a perfect batch a little below 0.
    loss = tversky_loss(logits, target, weight, alpha, beta).clamp(min=0.0)
    raised: torch.Tensor = (loss + _TINY) ** (1 / gamma) - _TINY ** (1 / gamma)
    return raised
