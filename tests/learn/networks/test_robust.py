"""Layers that were changed for small maps and for export compute what they computed before."""

from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch.decoders.pan.decoder import FPABlock
from timm.models.mobilevit import MobileVitBlock, MobileVitV2Block
from torch import nn

from buildext.learn.networks.exportable import make_exportable
from buildext.learn.networks.robust import BinnedAvgPool2d, PointBatchNorm2d, make_robust


@pytest.mark.parametrize("bins", [2, 3, 6])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 12), (7, 16)])
def test_binned_pooling_is_torchs(bins: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    torch.testing.assert_close(BinnedAvgPool2d(bins)(x), nn.AdaptiveAvgPool2d(bins)(x))


def test_a_single_value_takes_the_running_statistics_and_leaves_them() -> None:
    norm = PointBatchNorm2d(3).train()
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    x = torch.full((1, 3, 1, 1), 5.0)
    torch.testing.assert_close(norm(x), torch.full_like(x, 2.0), atol=1e-5, rtol=0)
    assert norm.running_mean.tolist() == [1.0] * 3
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm2d(3).train()(x)
    two = torch.cat([x, x + 2])
    torch.testing.assert_close(norm(two), nn.BatchNorm2d(3).train()(two))


def test_pans_pyramid_is_smps_on_maps_that_halve_three_times() -> None:
    torch.manual_seed(0)
    block = FPABlock(8, 4).eval()
    x = torch.randn(2, 8, 16, 24)
    expected = block(x)
    make_robust(nn.Sequential(block))
    torch.testing.assert_close(block(x), expected)
    assert block(torch.randn(1, 8, 1, 3)).shape == (1, 4, 1, 3)


@pytest.mark.parametrize("kind", [MobileVitBlock, MobileVitV2Block])
def test_mobilevits_blocks_are_timms_on_whole_patches(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    block = kind(16, transformer_dim=24, patch_size=2, num_heads=2).eval()
    x = torch.randn(2, 16, 6, 8)
    expected = block(x)
    make_exportable(nn.Sequential(block))
    assert type(block) is not kind
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
