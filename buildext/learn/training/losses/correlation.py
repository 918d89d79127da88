"""Matthews' correlation as a loss: the background counts too.

Overlap losses never look at pixels that are rightly left out. Matthews' coefficient is the
correlation of prediction and truth, all four counts in it, and does not care which of the two
classes is the rare one.
"""

from __future__ import annotations

import torch


def mcc_loss(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """1 − MCC over weighted pixels (Abhishek & Hamarneh 2021).

        MCC = (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))

    with s = sigmoid(logit) and TP = 1 + Σ w min(s, t), TN = 1 + Σ w min(1 - s, 1 - t),
    FP = Σ w (s - t)⁺, FN = Σ w (t - s)⁺. For t of 0 and 1 these are the paper's products
    (`s t` and so on); for soft targets the minimum is at s = t, as in `overlap`. The ones, a pixel
    of either class that is right, keep MCC defined where a class is absent.

    Args:
        logits: any shape, float.
        target: same shape, 0 to 1.
        weight: same shape, 0 to 1.
    """
    positive, negative = torch.sigmoid(logits), torch.sigmoid(-logits)
    # Four sums of positive terms: differences of large areas would lose the small ones.
    both = 1 + (torch.minimum(positive, target) * weight).sum()
    neither = 1 + (torch.minimum(negative, 1 - target) * weight).sum()
    gap = target * negative - (1 - target) * positive
    missed = (torch.relu(gap) * weight).sum()
    wrong = (torch.relu(-gap) * weight).sum()
    spread = ((both + wrong) * (both + missed)).sqrt() * (
        (neither + wrong) * (neither + missed)
    ).sqrt()
    return 1 - (both * neither - wrong * missed) / spread
