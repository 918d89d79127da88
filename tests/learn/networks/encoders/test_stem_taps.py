"""Tests of `buildext.learn.networks.encoders.stem_taps`, on both families that use it."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.encoders import efficientvit_m, shvit
from buildext.learn.networks.encoders.stem_taps import DetailBranch, append_doubled

from . import checks

FAMILIES = pytest.mark.parametrize(
    ("family", "name"), [(efficientvit_m, "efficientvit_m0"), (shvit, "shvit_s1")]
)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@FAMILIES
def test_without_deep_the_last_stage_is_not_built(family: ModuleType, name: str) -> None:
    with torch.device("meta"):
        whole, shallow = family.build(name), family.build(name, deep=False)
        assert whole.unused_prefixes == ("head.",)
        assert shallow.unused_prefixes == ("head.", "stages.2.")
        stage64 = parameters(whole.model.stages[2])
        assert parameters(whole) - parameters(shallow) == stage64 > 0
        widths = family.VARIANTS[name].widths
        assert shallow.out_channels[-1] == widths[1]
        assert whole.out_channels[-1] == widths[1] + widths[2]
        checks.assert_maps(shallow, 96, 160)


@FAMILIES
def test_depth_four_ends_at_stride_16(family: ModuleType, name: str) -> None:
    with torch.device("meta"):
        encoder = family.build(name, 4)
        checks.assert_maps(encoder, 48, 80)
        assert encoder.stride_divisor == 16
        assert encoder.unused_prefixes == ("head.", "stages.1.", "stages.2.")
        assert parameters(encoder) == parameters(family.build(name, 4, deep=False))


@FAMILIES
def test_timms_list_of_maps_is_gone(family: ModuleType, name: str) -> None:
    """It names strides 16, 32 and 64, which a reader would take for the encoder's own."""
    with torch.device("meta"):
        assert not hasattr(family.build(name).model, "feature_info")


@FAMILIES
def test_a_shallower_encoder_would_be_a_stem(family: ModuleType, name: str) -> None:
    with torch.device("meta"), pytest.raises(ModelError, match="expected 4 or 5"):
        family.build(name, 3)


@FAMILIES
def test_the_detail_branch_adds_to_two_maps_only(family: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    encoder = checks.scatter(family.build(name)).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        with_detail = encoder(images)
        quarter, eighth = encoder.detail.quarter, encoder.detail.eighth
        encoder.detail = None
        taps = encoder(images)
        torch.testing.assert_close(with_detail[2] - taps[2], quarter(taps[2]))
        torch.testing.assert_close(with_detail[3] - taps[3], eighth(quarter(taps[2])))
        assert (with_detail[3] != taps[3]).any()
    for i in (1, 4, 5):
        torch.testing.assert_close(with_detail[i], taps[i])


@FAMILIES
def test_the_taps_are_what_the_stem_computes(family: ModuleType, name: str) -> None:
    encoder = checks.scatter(family.build(name, detail=False)).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        taps = encoder(images)[1:4]
        x = images
        for conv, tap in zip(list(encoder.model.patch_embed)[:6:2], taps, strict=True):
            x = torch.relu(conv(x))
            torch.testing.assert_close(tap, x)
            assert tap.std() > 1e-3


@pytest.mark.parametrize(("height", "width"), [(3, 5), (4, 6), (1, 2)])
def test_a_farther_map_is_doubled_and_cut(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width)
    farther = torch.rand(2, 4, (height + 1) // 2, (width + 1) // 2)
    joined = append_doubled(x, farther)
    assert joined.shape == (2, 7, height, width)
    assert torch.equal(joined[:, :3], x)
    for row in range(height):
        for column in range(width):
            assert torch.equal(joined[:, 3:, row, column], farther[:, :, row // 2, column // 2])


def test_a_detail_branch_is_local() -> None:
    """A change at one place moves the map at stride 8 within ± 2 positions of it, no farther."""
    torch.manual_seed(0)
    branch = DetailBranch(4, 8).eval()
    quarter, eighth = torch.rand(1, 4, 32, 32), torch.rand(1, 8, 16, 16)
    changed = quarter.clone()
    changed[:, :, 16, 16] += 5.0
    with torch.no_grad():
        moved = (branch(changed, eighth)[1] != branch(quarter, eighth)[1]).any(dim=1)[0]
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert len(rows) > 1
    assert ((rows - 8).abs().max(), (columns - 8).abs().max()) <= (3, 3)


@pytest.mark.parametrize("family", [efficientvit_m, shvit])
def test_unknown_names_and_options_are_refused(family: ModuleType) -> None:
    name = next(iter(family.VARIANTS))
    with pytest.raises(ModelError, match=r"'depp' for the encoder .*one of deep, detail"):
        family.build(name, depp=True)
    with pytest.raises(ModelError, match="got the encoder 'resnet18'"):
        family.build("resnet18")
    with pytest.raises(ModelError, match="got the encoder 'resnet18'"):
        family.classifier("resnet18")
