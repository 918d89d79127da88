"""Tests of `buildext.learn.networks.encoders.efficientformer_v2`."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from buildext.errors import ModelError
from buildext.learn.networks.encoders import efficientformer_v2
from buildext.learn.networks.encoders.efficientformer_v2 import EfficientFormerV2

from . import checks

# Millions of parameters and of MACs at 224, from the paper's table 1.
PAPER = {
    "efficientformerv2_s0": (3.5, 400),
    "efficientformerv2_s1": (6.1, 650),
    "efficientformerv2_s2": (12.6, 1250),
    "efficientformerv2_l": (26.1, 2560),
}
OWN = {
    "efficientformerv2_s0": (3.60, 395.9),
    "efficientformerv2_s1": (6.19, 652.0),
    "efficientformerv2_s2": (12.71, 1246.9),
    "efficientformerv2_l": (26.32, 2552.5),
}


@pytest.mark.parametrize("name", efficientformer_v2.VARIANTS)
def test_figures_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        parameters, macs = checks.figures(efficientformer_v2.classifier(name))
    assert parameters == pytest.approx(OWN[name][0], abs=0.01)
    assert macs == pytest.approx(OWN[name][1], abs=0.1)
    # The paper's parameters are a little lower throughout: see the module's docstring.
    assert PAPER[name][0] < parameters < 1.03 * PAPER[name][0]
    assert macs == pytest.approx(PAPER[name][1], abs=10)


@pytest.mark.parametrize("name", efficientformer_v2.VARIANTS)
def test_maps_at_any_size(name: str) -> None:
    with torch.device("meta"):
        encoder = efficientformer_v2.build(name)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)


@pytest.mark.parametrize("depth", [3, 4])
def test_fewer_stages(depth: int) -> None:
    with torch.device("meta"):
        checks.assert_maps(efficientformer_v2.build("efficientformerv2_s0", depth), 96, 160)


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(efficientformer_v2.build("efficientformerv2_s0"))


def test_blocks_are_skipped_more_and_more() -> None:
    encoder = efficientformer_v2.build("efficientformerv2_s0", drop_path=0.3)
    rates = [block.drop_path.drop_prob for stage in encoder.stages for block in stage.blocks]
    assert (rates[0], rates[-1]) == (0.0, 0.3)
    assert rates == sorted(rates)


@pytest.mark.parametrize("name", efficientformer_v2.VARIANTS)
def test_timms_keys_are_ours(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name).state_dict()
        own = efficientformer_v2.classifier(name).state_dict()
        assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in theirs.items()}
        headless = {k for k in theirs if not k.startswith(efficientformer_v2.HEAD_PREFIXES)}
        assert set(efficientformer_v2.build(name).state_dict()) == headless


def test_timms_file_gives_timms_maps() -> None:
    reference = checks.scatter(timm.create_model("efficientformerv2_s0")).eval()
    ours = efficientformer_v2.classifier("efficientformerv2_s0").eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = reference.forward_intermediates(images, intermediates_only=True)
        maps = EfficientFormerV2.forward(ours, images)[2:]
        torch.testing.assert_close(ours(images), reference(images), atol=1e-4, rtol=1e-4)
    for got, want in zip(maps, expected, strict=True):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(efficientformer_v2.build("efficientformerv2_s0"), tmp_path)


def test_unknown_option() -> None:
    with pytest.raises(ModelError, match=r"'image_size'.*drop_path"):
        efficientformer_v2.build("efficientformerv2_l", image_size=224)
