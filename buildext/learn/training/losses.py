"""Losses: binary cross-entropy plus Dice, per channel, over the pixels that have a label.

Cross-entropy looks at each pixel alone and gives smooth gradients; Dice looks at the overlap of
the whole batch and does not drown a rare class. Both are means over weighted pixels, so a tile
that is half nodata counts half.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from buildext.learn.training.config import LossSection


def weighted_bce(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, positive: float = 1.0
) -> torch.Tensor:
    """Mean of `-p t log s - (1 - t) log(1 - s)`, s = sigmoid(logit), over weighted pixels.

    Args:
        logits: any shape, float.
        target: same shape, 0 or 1.
        weight: same shape, 0 or 1; all 0 gives a loss of 0.
        positive: the factor p of positive pixels.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=torch.full((), positive, device=logits.device), reduction="none"
    )
    return (losses * weight).sum() / weight.sum().clamp(min=1.0)


def dice_loss(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """1 − (2 Σ s t + 1) / (Σ s + Σ t + 1), s = sigmoid(logit), over weighted pixels.

    The ones keep a batch without a positive pixel defined (Milletari et al. 2016, smoothed). Where
    no pixel has weight the loss is 0.
    """
    probability = torch.sigmoid(logits) * weight
    truth = target * weight
    overlap = (probability * truth).sum()
    return 1 - (2 * overlap + 1) / (probability.sum() + truth.sum() + 1)


def segmentation_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    channels: tuple[str, ...],
    options: LossSection,
) -> dict[str, torch.Tensor]:
    """The loss of each channel and their weighted `total`.

    Args:
        logits: float32 `(N, K, H, W)`.
        target: float32 `(N, K, H, W)` of 0 and 1.
        weight: float32 `(N, K, H, W)` of 0 and 1.
        channels: K names; `building` counts 1, `contact` counts `options.contact`.
        options: factors.
    """
    losses: dict[str, torch.Tensor] = {}
    total = logits.new_zeros(())
    for k, channel in enumerate(channels):
        part = logits[:, k], target[:, k], weight[:, k]
        positive = options.contact_positive if channel == "contact" else 1.0
        losses[channel] = weighted_bce(*part, positive) + dice_loss(*part)
        total = total + (options.contact if channel == "contact" else 1.0) * losses[channel]
    losses["total"] = total
    return losses
