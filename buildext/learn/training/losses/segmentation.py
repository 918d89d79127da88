"""The loss that a config asks for, channel by channel.

losses = segmentation_loss(logits, target, weight, ("building", "contact"), config.loss)
losses["total"].backward()
"""

from __future__ import annotations

import torch

from buildext.learn.training.config import LossSection
from buildext.learn.training.losses.correlation import mcc_loss
from buildext.learn.training.losses.lovasz import lovasz_loss
from buildext.learn.training.losses.offset import answer_unit_m, offset_loss
from buildext.learn.training.losses.overlap import (
    dice_loss,
    focal_tversky_loss,
    jaccard_loss,
    tversky_loss,
)
from buildext.learn.training.losses.pixelwise import bce_loss, focal_loss
from buildext.learn.training.losses.robust import bootstrap_loss, gce_loss
from buildext.models.card import OFFSET_CHANNELS


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
        target: float32 `(N, K, H, W)`, 0 to 1.
        weight: float32 `(N, K, H, W)`, 0 to 1.
        channels: K names; `building` counts 1, `contact` counts `options.contact`, and an error of
            `answer_unit_m` in `offset_x` or `offset_y` counts `options.offset`.
        options: which loss, and its factors.
    """
    losses: dict[str, torch.Tensor] = {}
    total = logits.new_zeros(())
    for k, channel in enumerate(channels):
        if channel in OFFSET_CHANNELS:
            error_m = offset_loss(logits[:, k], target[:, k], weight[:, k], options.offset_range_m)
            losses[channel] = error_m
            # As a share of the range: the pull on a logit is then that of a probability.
            total = total + options.offset * error_m / answer_unit_m(options.offset_range_m)
            continue
        positive = options.contact_positive if channel == "contact" else 1.0
        losses[channel] = channel_loss(logits[:, k], target[:, k], weight[:, k], options, positive)
        total = total + (options.contact if channel == "contact" else 1.0) * losses[channel]
    losses["total"] = total
    return losses


def channel_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    options: LossSection,
    positive: float = 1.0,
) -> torch.Tensor:
    """The loss of one channel, `(N, H, W)` each.

    `positive` is the factor of positive pixels where the loss looks at single pixels; losses of
    overlap balance the classes themselves and do without.
    """
    pixels = logits, target, weight
    match options.kind:
        case "bce+dice":
            return _cross_entropy(*pixels, options, positive) + dice_loss(*pixels)
        case "bce":
            return _cross_entropy(*pixels, options, positive)
        case "focal":
            return focal_loss(*pixels, options.focal_gamma, options.focal_alpha, positive)
        case "dice":
            return dice_loss(*pixels)
        case "jaccard":
            return jaccard_loss(*pixels)
        case "tversky":
            return tversky_loss(*pixels, options.tversky_alpha, options.tversky_beta)
        case "focal-tversky":
            return focal_tversky_loss(
                *pixels, options.tversky_alpha, options.tversky_beta, options.focal_tversky_gamma
            )
        case "lovasz":
            return lovasz_loss(*pixels, options.lovasz_per == "image")
        case "mcc":
            return mcc_loss(*pixels)


def _cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    options: LossSection,
    positive: float,
) -> torch.Tensor:
    """Cross-entropy, or what stands in its place where labels may be wrong."""
    pixels = logits, target, weight
    match options.robust:
        case "none":
            return bce_loss(*pixels, positive)
        case "bootstrap-soft":
            trust = options.bootstrap_soft_trust
            return bootstrap_loss(*pixels, trust, hard=False, positive=positive)
        case "bootstrap-hard":
            trust = options.bootstrap_hard_trust
            return bootstrap_loss(*pixels, trust, hard=True, positive=positive)
        case "gce":
            return gce_loss(*pixels, options.gce_q, positive)
