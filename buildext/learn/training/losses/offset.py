"""The loss of the step from roof to footprint: metres of error, on roofs alone.

Huber (1964): half the square of an error below `KNEE_M`, and its length less half of that above.
The mean is taken over the pixels of roofs, so that the loss of a batch does not depend on how much
of it is built on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from buildext.learn.networks.heads import OFFSET_GAIN
from buildext.learn.training.losses.pixelwise import weighted_mean
from buildext.learn.training.tiles.offsets import to_metres

KNEE_M = 1.0


def offset_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, range_m: float
) -> torch.Tensor:
    """Mean error of the step along one axis, in metres, over weighted pixels.

    Args:
        logits: any shape, float; their sigmoid is the share of the range, see `tiles.offsets`.
        target: same shape, shares from 0 to 1.
        weight: same shape, 0 to 1.
        range_m: of the shares.
    """
    found_m, true_m = to_metres(torch.sigmoid(logits), range_m), to_metres(target, range_m)
    return weighted_mean(F.huber_loss(found_m, true_m, reduction="none", delta=KNEE_M), weight)


def answer_unit_m(range_m: float) -> float:
    """What one unit of a head's answer about the step means near zero, in metres.

    The slope of `range (2 sigmoid(gain answer) - 1)` there.
    """
    return range_m * OFFSET_GAIN / 2
