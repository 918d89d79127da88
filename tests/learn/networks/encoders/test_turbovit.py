"""Tests of `buildext.learn.networks.encoders.turbovit`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from buildext.errors import ModelError
from buildext.learn.networks.encoders import turbovit

from . import checks

FASTERVIT_0_PARAMETERS = 31.4
MOBILEVITV2_200_MACS = 7500


def test_figures_keep_the_papers_ratios() -> None:
    with torch.device("meta"):
        parameters, macs = checks.figures(turbovit.classifier("turbovit_style"))
    assert FASTERVIT_0_PARAMETERS / parameters > 2.47
    assert MOBILEVITV2_200_MACS / macs > 3.4
    # The very figures, so that a change of the network is seen; science knows about 12.7 and 2200.
    assert parameters == pytest.approx(12.69, abs=0.005)
    assert macs == pytest.approx(2180.4, abs=0.1)


def test_most_blocks_stand_behind_the_second_pooling() -> None:
    encoder = turbovit.build("turbovit_style")
    pooled = [i for i, block in enumerate(encoder.blocks) if block.pool]
    assert len(pooled) == 3
    assert len(encoder.blocks) - pooled[1] > len(encoder.blocks) / 2


def test_the_width_is_condensed_first_and_grows_then() -> None:
    encoder = turbovit.build("turbovit_style")
    embedded = encoder.patch_embed.proj.out_channels
    widths = encoder.out_channels[2:]
    assert widths[0] < embedded
    assert widths == sorted(widths)


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_maps_at_any_size(depth: int) -> None:
    encoder = turbovit.build("turbovit_style", depth)
    checks.assert_maps(encoder, 96, 160)
    checks.assert_maps(encoder, 64, 32)


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(turbovit.build("turbovit_style"))


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(turbovit.build("turbovit_style"), tmp_path)


def test_unknown_option() -> None:
    with pytest.raises(ModelError, match=r"'width'.*drop_path"):
        turbovit.build("turbovit_style", width=3)
