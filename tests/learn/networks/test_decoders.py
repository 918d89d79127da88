"""What is particular to one decoder."""

from __future__ import annotations

import pytest
import torch

from buildext.errors import ModelError
from buildext.learn.networks.decoders.table import DECODERS, build_decoder
from buildext.learn.networks.decoders.unet3plus import Unet3PlusDecoder
from buildext.learn.networks.robust import make_robust

FULL, HALF_ABSENT = (3, 8, 12, 16, 24, 32), (3, 0, 12, 16, 24, 32)


def maps(channels: tuple[int, ...], height: int, width: int) -> list[torch.Tensor]:
    return [torch.randn(2, c, height >> k, width >> k) for k, c in enumerate(channels)]


def check_decoder(name: str, channels: tuple[int, ...], subpixel: bool) -> None:
    depth = len(channels) - 1
    widths = (32,) * DECODERS[name].count(depth, subpixel)
    built = build_decoder(name, channels, 2**depth, widths, subpixel)
    make_robust(built.module)
    with torch.no_grad():
        out = built.module.eval()(maps(channels, 32, 64))
    assert out.shape == (2, built.out_channels, 32 // built.out_stride, 64 // built.out_stride)


@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize("channels", [FULL, HALF_ABSENT])
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_ends_where_it_says(name: str, channels: tuple[int, ...], subpixel: bool) -> None:
    check_decoder(name, channels, subpixel)


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("name", DECODERS)
def test_shallow_encoders(name: str, depth: int) -> None:
    check_decoder(name, FULL[: depth + 1], False)


def test_fpn_without_the_map_it_needs_is_refused() -> None:
    with pytest.raises(ModelError, match="map at stride 2"):
        build_decoder("fpn", HALF_ABSENT[:5], 16, (), False)


def test_unet3plus_has_the_papers_widths() -> None:
    decoder = Unet3PlusDecoder((3, 64, 128, 256, 512, 1024), 64)
    # Five branches of 64 at each of four stages; the coarser maps come as 320 channels.
    assert decoder.out_channels == 320
    assert [len(stage.branches) for stage in decoder.stages] == [5, 5, 5, 5]
    widths = [[branch[0].in_channels for branch in stage.branches] for stage in decoder.stages]
    assert widths[0] == [64, 128, 256, 512, 1024]
    assert widths[-1] == [64, 320, 320, 320, 1024]


def test_unet3plus_sees_every_map_in_every_stage() -> None:
    torch.manual_seed(0)
    decoder = Unet3PlusDecoder(FULL, 4).eval()
    features = [m.requires_grad_() for m in maps(FULL, 64, 64)]
    out = decoder.stages[0](dict(enumerate(features[1:])))
    assert out.shape[2:] == (4, 4)
    grads = torch.autograd.grad(out.sum(), features[1:])
    assert all(float(g.abs().sum()) > 0 for g in grads)
