"""Tests of `buildext.learn.networks.encoders.fastervit`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from buildext.errors import ModelError
from buildext.learn.networks.encoders import fastervit
from buildext.learn.networks.encoders.fastervit import (
    FasterViT,
    FasterViTVariant,
    PlaceMlp,
    TokenBlock,
)

from . import checks

PAPER_PARAMETERS = 31.4
PAPER_MACS = 3300
# Same parts, fewer and narrower: the cost of a test grows with the weights.
NARROW = FasterViTVariant((16, 32, 64, 128), (1, 1, 2, 2), (2, 4))


def test_figures_of_the_paper() -> None:
    with torch.device("meta"):
        model = fastervit.classifier("fastervit_0").eval()
    with torch.no_grad(), FlopCounterMode(display=False, depth=None) as counter:
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert parameters == pytest.approx(PAPER_PARAMETERS, rel=0.01)
    assert parameters == pytest.approx(31.416, abs=0.001)
    counts = {k: sum(v.values()) / 2e6 for k, v in counter.get_flop_counts().items()}
    places = sum(
        counts[f"FasterViTClassifier.{k}"] for k, m in model.named_modules() if type(m) is PlaceMlp
    )
    products = counter.get_flop_counts()["Global"][torch.ops.aten.bmm] / 2e6
    total = counter.get_total_flops() / 2e6
    assert total - places - products == pytest.approx(PAPER_MACS, rel=0.01)
    assert (total, places, products) == pytest.approx((3492.3, 130.5, 47.6), abs=0.1)


@pytest.mark.parametrize("window", [4, 7, 8])
def test_maps_at_any_size(window: int) -> None:
    narrow = FasterViT(NARROW, window=window)
    checks.assert_maps(narrow, 96, 160)
    checks.assert_maps(narrow, 256, 32)
    checks.assert_maps(narrow, 224, 448)


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_fewer_stages(depth: int) -> None:
    with torch.device("meta"):
        checks.assert_maps(fastervit.build("fastervit_0", depth), 96, 160)


def test_no_dead_parameter() -> None:
    checks.assert_no_dead_parameter(FasterViT(NARROW))


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(FasterViT(NARROW), tmp_path)


def test_carriers_bring_word_from_far_windows() -> None:
    encoder = FasterViT(NARROW, depth=4).eval()
    # Four windows of 7 tokens of 16 px in a row; the change is in the last one.
    images = torch.rand(1, 3, 32, 448)
    changed = images.clone()
    changed[..., 430:] = 0
    with torch.no_grad():
        before, after = encoder(images), encoder(changed)
    assert torch.equal(before[3][..., :14], after[3][..., :14])
    assert not torch.equal(before[4][..., :7], after[4][..., :7])


def test_a_bias_depends_on_the_offset_alone() -> None:
    block = TokenBlock(8, 2, 3, 0.0)
    biases = block.biases(3, 5).reshape(2, 3, 5, 3, 5)
    torch.testing.assert_close(biases[:, 1, 4, 0, 2], biases[:, 2, 3, 1, 1])
    assert not torch.allclose(biases[:, 1, 4, 0, 2], biases[:, 0, 2, 1, 4])
    # And not on the size of the grid.
    larger = block.biases(6, 7).reshape(2, 6, 7, 6, 7)
    torch.testing.assert_close(biases[:, 1, 4, 0, 2], larger[:, 1, 4, 0, 2])


def test_a_window_that_divides_the_maps_is_cheaper() -> None:
    with torch.device("meta"):
        seven, eight = (fastervit.build("fastervit_0", window=side) for side in (7, 8))
    assert {k: v.shape for k, v in seven.state_dict().items()} == {
        k: v.shape for k, v in eight.state_dict().items()
    }
    assert checks.figures(seven, 256)[1] == pytest.approx(7700, abs=10)
    assert checks.figures(eight, 256)[1] == pytest.approx(4600, abs=100)


def test_options_are_checked() -> None:
    with pytest.raises(ModelError, match=r"'carriers'.*drop_path, window"):
        fastervit.build("fastervit_0", carriers=3)
    with pytest.raises(ModelError, match=r"window 3.*at least 4"):
        fastervit.build("fastervit_0", window=3)
