"""Tests of `buildext.learn.networks.encoders.efficientvit_m`."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch

from buildext.learn.networks.encoders import efficientvit_m

from . import checks

# Millions of parameters and of MACs at 224 pixels: the paper's table.
PAPER = {
    "efficientvit_m0": (2.35, 79),
    "efficientvit_m1": (2.98, 167),
    "efficientvit_m2": (4.19, 201),
    "efficientvit_m3": (6.90, 263),
    "efficientvit_m4": (8.80, 299),
    "efficientvit_m5": (12.47, 522),
}
NAMES = pytest.mark.parametrize("name", efficientvit_m.VARIANTS)


@NAMES
def test_figures_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        figures = checks.figures(efficientvit_m.classifier(name))
    assert figures == pytest.approx(PAPER[name], rel=0.004)


@NAMES
def test_maps_at_any_size(name: str) -> None:
    with torch.device("meta"):
        encoder = efficientvit_m.build(name)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)


@NAMES
def test_a_headless_file_fits_the_body(name: str) -> None:
    with torch.device("meta"):
        encoder = efficientvit_m.build(name)
        shapes = {k: v.shape for k, v in timm.create_model(name).state_dict().items()}
    own = {k: v.shape for k, v in encoder.model.state_dict().items()}
    assert own == {k: v for k, v in shapes.items() if not k.startswith(encoder.unused_prefixes)}


@pytest.mark.parametrize(
    ("height", "width"),
    # Exactly whole windows (224), one exact window (112), padding on both sides.
    [(224, 224), (112, 112), (96, 160)],
)
def test_the_body_computes_what_timms_does(height: int, width: int) -> None:
    reference = checks.scatter(timm.create_model("efficientvit_m0", num_classes=0)).eval()
    encoder = efficientvit_m.build("efficientvit_m0", detail=False).eval()
    encoder.model.load_state_dict(reference.state_dict(), strict=True)
    images = torch.rand(2, 3, height, width)
    with torch.no_grad():
        *_, stage16, stage32 = encoder(images)
        expected = reference.forward_intermediates(images, intermediates_only=True)
    torch.testing.assert_close(stage16, expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stage32[:, :128], expected[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(stage32[:, 128:, ::2, ::2], expected[2], atol=1e-4, rtol=1e-4)


def test_new_weights_count_at_once() -> None:
    """Biases gathered in evaluation mode must not outlive the weights they came from."""
    encoder = efficientvit_m.build("efficientvit_m0").eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        encoder(images)
        other = checks.scatter(copy.deepcopy(encoder), seed=1)
        encoder.load_state_dict(other.state_dict())
        torch.testing.assert_close(encoder(images), other(images))
        encoder.model.stages[0].blocks[0].mixer.m.attn.attention_biases[:, 1] += 3.0
        assert (encoder(images)[4] != other(images)[4]).any()


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(checks.scatter(efficientvit_m.build("efficientvit_m0")))


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(efficientvit_m.build("efficientvit_m0"), tmp_path)
