"""In evaluation the maps of an image do not depend on its neighbours in the batch."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from buildext.learn.networks.encoders import efficientmod, efficientvit_m, shvit

from . import checks


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (efficientvit_m, "efficientvit_m1"),
        (shvit, "shvit_s1"),
        (efficientmod, "efficientmod_xxs"),
    ],
)
def test_images_of_a_batch_do_not_meet(family: ModuleType, name: str) -> None:
    encoder = checks.scatter(family.build(name)).eval()
    images = torch.rand(3, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    brighter = images.clone()
    brighter[0] += 1.0
    with torch.no_grad():
        before, after, alone = encoder(images), encoder(brighter), encoder(images[1:2])
    for i in range(1, 6):
        torch.testing.assert_close(after[i][1:], before[i][1:])
        torch.testing.assert_close(alone[i], before[i][1:2], atol=1e-4, rtol=1e-4)
    assert (after[5][0] - before[5][0]).abs().max() > 1e-3
