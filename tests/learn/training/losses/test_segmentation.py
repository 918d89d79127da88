"""Each kind calls its own function with its own parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from buildext.learn.training.config import LossSection
from buildext.learn.training.losses import channel_loss
from buildext.learn.training.losses.correlation import mcc_loss
from buildext.learn.training.losses.lovasz import lovasz_loss
from buildext.learn.training.losses.overlap import (
    dice_loss,
    focal_tversky_loss,
    jaccard_loss,
    tversky_loss,
)
from buildext.learn.training.losses.pixelwise import bce_loss, focal_loss
from buildext.learn.training.losses.robust import bootstrap_loss, gce_loss
from tests.learn.training.losses.arrays import draw

# Every value differs from every other: swapped parameters would show.
PARAMETERS: dict[str, float] = {
    "focal_gamma": 1.5,
    "focal_alpha": 0.35,
    "tversky_alpha": 0.2,
    "tversky_beta": 0.9,
    "focal_tversky_gamma": 1.7,
    "bootstrap_soft_trust": 0.85,
    "bootstrap_hard_trust": 0.65,
    "gce_q": 0.55,
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, lambda *p: bce_loss(*p, 3.0) + dice_loss(*p)),
        ({"kind": "bce"}, lambda *p: bce_loss(*p, 3.0)),
        ({"kind": "focal"}, lambda *p: focal_loss(*p, 1.5, 0.35, 3.0)),
        ({"kind": "dice"}, dice_loss),
        ({"kind": "jaccard"}, jaccard_loss),
        ({"kind": "tversky"}, lambda *p: tversky_loss(*p, 0.2, 0.9)),
        ({"kind": "focal-tversky"}, lambda *p: focal_tversky_loss(*p, 0.2, 0.9, 1.7)),
        ({"kind": "lovasz"}, lambda *p: lovasz_loss(*p, True)),
        ({"kind": "lovasz", "lovasz_per": "batch"}, lambda *p: lovasz_loss(*p, False)),
        ({"kind": "mcc"}, mcc_loss),
        (
            {"kind": "bce", "robust": "bootstrap-soft"},
            lambda *p: bootstrap_loss(*p, 0.85, hard=False, positive=3.0),
        ),
        (
            {"kind": "bce", "robust": "bootstrap-hard"},
            lambda *p: bootstrap_loss(*p, 0.65, hard=True, positive=3.0),
        ),
        ({"kind": "bce", "robust": "gce"}, lambda *p: gce_loss(*p, 0.55, 3.0)),
        ({"robust": "gce"}, lambda *p: gce_loss(*p, 0.55, 3.0) + dice_loss(*p)),
    ],
    ids=str,
)
def test_a_kind_is_its_function(
    values: dict[str, Any], expected: Callable[..., torch.Tensor]
) -> None:
    pixels = draw(11, soft=True)
    options = LossSection(**PARAMETERS, **values)
    torch.testing.assert_close(channel_loss(*pixels, options, 3.0), expected(*pixels))
