"""Tests of `buildext.learn.networks.encoders.hiera`."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from buildext.errors import ModelError
from buildext.learn.networks.encoders import hiera
from buildext.learn.networks.encoders.hiera import Hiera, HieraVariant
from buildext.learn.networks.encoders.position import window_aligned

from . import checks

# Millions of parameters and thousands of millions of MACs at 224, as the paper's table 1 rounds
# them, and ours in millions.
PAPER = {
    "hiera_tiny": (28, 5, 27.91, 4900.8),
    "hiera_small": (35, 6, 35.01, 6406.1),
    "hiera_base": (52, 9, 51.52, 9375.2),
}


@pytest.mark.parametrize("name", hiera.VARIANTS)
def test_figures_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        parameters, macs = checks.figures(hiera.classifier(name))
    paper_parameters, paper_gmacs, own_parameters, own_macs = PAPER[name]
    assert (round(parameters), round(macs / 1e3)) == (paper_parameters, paper_gmacs)
    assert parameters == pytest.approx(own_parameters, abs=0.01)
    assert macs == pytest.approx(own_macs, abs=0.1)


@pytest.mark.parametrize("name", hiera.VARIANTS)
def test_maps_at_any_size(name: str) -> None:
    with torch.device("meta"):
        encoder = hiera.build(name)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)


@pytest.mark.parametrize("depth", [3, 4])
def test_fewer_stages(depth: int) -> None:
    with torch.device("meta"):
        checks.assert_maps(hiera.build("hiera_tiny", depth), 96, 160)


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(hiera.build("hiera_tiny"))


def test_timms_file_loads_strictly_and_gives_timms_maps() -> None:
    reference = checks.scatter(timm.create_model("hiera_tiny_224")).eval()
    ours = hiera.classifier("hiera_tiny").eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = reference.forward_intermediates(images, intermediates_only=True)
        maps = Hiera.forward(ours, images)[2:]
        torch.testing.assert_close(ours(images), reference(images), atol=1e-4, rtol=1e-4)
    for got, want in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-3)


def test_a_headless_file_fits_the_encoder() -> None:
    with torch.device("meta"):
        keys = set(timm.create_model("hiera_tiny_224").state_dict())
        own = set(hiera.build("hiera_tiny").state_dict())
    assert own == {k for k in keys if not k.startswith(hiera.HEAD_PREFIXES)}


def test_export(tmp_path: Path) -> None:
    narrow = HieraVariant(24, (24, 48, 96, 192), (1, 2, 4, 8), (2, 2, 2, 2))
    checks.assert_same_when_exported(Hiera(narrow), tmp_path)


def test_mask_units_do_not_see_each_other_in_the_first_stages() -> None:
    encoder = hiera.build("hiera_tiny").eval()
    images = torch.rand(1, 3, 64, 128)
    changed = images.clone()
    changed[:, :, :, 72:] = 0
    with torch.no_grad():
        before, after = encoder(images), encoder(changed)
    # The change begins 8 px inside the third column of mask units, beyond reach of the patches of
    # the second.
    for stride, index in ((4, 2), (8, 3)):
        same = 64 // stride
        assert torch.equal(before[index][..., :same], after[index][..., :same])
    assert not torch.equal(before[4][..., :4], after[4][..., :4])


def test_a_table_at_its_own_size_stays() -> None:
    table = torch.randn(1, 16 * 16, 5)
    torch.testing.assert_close(
        window_aligned(table, 16, 8, 16, 16).reshape(1, 256, 5), table, atol=1e-5, rtol=0
    )


def test_what_repeats_from_window_to_window_is_tiled() -> None:
    window = torch.randn(8, 8, 3)
    table = window.repeat(2, 2, 1).reshape(1, 256, 3)
    grown = window_aligned(table, 16, 8, 24, 40)
    torch.testing.assert_close(grown[0], window.repeat(3, 5, 1), atol=1e-5, rtol=0)


def test_unknown_names_and_options() -> None:
    with pytest.raises(ModelError, match="hiera_tiny, hiera_small"):
        hiera.build("hiera_huge")
    with pytest.raises(ModelError, match=r"'window'.*drop_path"):
        hiera.build("hiera_tiny", window=7)
    with pytest.raises(ModelError, match="depth 2"):
        hiera.build("hiera_tiny", 2)
