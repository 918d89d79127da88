"""Tests of `buildext.learn.networks.encoders.shvit`."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from buildext.learn.networks.encoders import shvit

from . import checks

# Millions of parameters, millions of MACs and the side in pixels: the paper's table.
PAPER = {
    "shvit_s1": (6.33, 241, 224),
    "shvit_s2": (11.48, 365, 224),
    "shvit_s3": (14.25, 601, 224),
    "shvit_s4": (16.59, 986, 256),
}
NAMES = pytest.mark.parametrize("name", shvit.VARIANTS)


@NAMES
def test_figures_of_the_paper(name: str) -> None:
    *published, side = PAPER[name]
    with torch.device("meta"):
        figures = checks.figures(shvit.classifier(name), side)
    assert figures == pytest.approx(tuple(published), rel=0.002)


@NAMES
def test_maps_at_any_size(name: str) -> None:
    with torch.device("meta"):
        encoder = shvit.build(name)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)


@NAMES
def test_a_headless_file_fits_the_body(name: str) -> None:
    with torch.device("meta"):
        encoder = shvit.build(name)
        shapes = {k: v.shape for k, v in timm.create_model(name).state_dict().items()}
    own = {k: v.shape for k, v in encoder.model.state_dict().items()}
    assert own == {k: v for k, v in shapes.items() if not k.startswith(encoder.unused_prefixes)}


def test_the_body_computes_what_timms_does() -> None:
    reference = checks.scatter(timm.create_model("shvit_s1", num_classes=0)).eval()
    encoder = shvit.build("shvit_s1", detail=False).eval()
    encoder.model.load_state_dict(reference.state_dict(), strict=True)
    images = torch.rand(2, 3, 96, 160)
    with torch.no_grad():
        *_, stage16, stage32 = encoder(images)
        expected = reference.forward_intermediates(images, intermediates_only=True)
    torch.testing.assert_close(stage16, expected[0])
    torch.testing.assert_close(stage32[:, :224], expected[1])
    torch.testing.assert_close(stage32[:, 224:, ::2, ::2], expected[2])


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(checks.scatter(shvit.build("shvit_s1")))


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(shvit.build("shvit_s1"), tmp_path)
