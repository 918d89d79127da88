"""Tests of `buildext.learn.networks.encoders.mobile_former`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.encoders import mobile_former
from buildext.learn.networks.encoders.bridge import DynamicReLU
from buildext.learn.networks.encoders.mobile_former import Shuffle

from . import checks

# Millions of parameters and of operations at 224, as the authors' table prints them.
PAPER = {
    "mobile_former_26m": (3.2, 26),
    "mobile_former_52m": (3.5, 52),
    "mobile_former_96m": (4.6, 96),
    "mobile_former_151m": (7.6, 151),
    "mobile_former_214m": (9.4, 214),
    "mobile_former_294m": (11.4, 294),
    "mobile_former_508m": (14.0, 508),
}
OWN_MACS = {
    "mobile_former_26m": 23.55,
    "mobile_former_52m": 49.29,
    "mobile_former_96m": 92.02,
    "mobile_former_151m": 146.25,
    "mobile_former_214m": 208.37,
    "mobile_former_294m": 286.73,
    "mobile_former_508m": 498.47,
}


@pytest.mark.parametrize("name", mobile_former.VARIANTS)
def test_figures_of_the_paper(name: str) -> None:
    with torch.device("meta"):
        model = mobile_former.classifier(name)
    values = 0

    def count(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal values
        values += output.numel()

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | DynamicReLU):
            module.register_forward_hook(count)
    parameters, macs = checks.figures(model)
    assert round(parameters, 1) == PAPER[name][0]
    assert macs == pytest.approx(OWN_MACS[name], abs=0.01)
    # One multiplication for each normed and each dynamically activated value. The two smallest
    # stay 1.6 and 1.3 % below the paper's whole numbers.
    small = name in ("mobile_former_26m", "mobile_former_52m")
    assert macs + values / 1e6 == pytest.approx(PAPER[name][1], rel=0.017 if small else 0.01)


@pytest.mark.parametrize("name", mobile_former.VARIANTS)
def test_maps_at_any_size(name: str) -> None:
    with torch.device("meta"):
        encoder = mobile_former.build(name)
        checks.assert_maps(encoder, 96, 160)
        checks.assert_maps(encoder, 256, 32)


@pytest.mark.parametrize("depth", [3, 4])
def test_fewer_stages(depth: int) -> None:
    with torch.device("meta"):
        checks.assert_maps(mobile_former.build("mobile_former_96m", depth), 96, 160)


@pytest.mark.parametrize("name", ["mobile_former_26m", "mobile_former_96m"])
def test_no_dead_parameter(name: str) -> None:
    checks.assert_no_dead_parameter(mobile_former.build(name))


def test_no_dead_parameter_without_the_last_stage() -> None:
    checks.assert_no_dead_parameter(mobile_former.build("mobile_former_52m", depth=4))


def test_export(tmp_path: Path) -> None:
    checks.assert_same_when_exported(mobile_former.build("mobile_former_26m"), tmp_path)


def test_tokens_carry_the_far_side_over() -> None:
    encoder = checks.scatter(mobile_former.build("mobile_former_52m", depth=3)).eval()
    images = torch.rand(1, 3, 64, 512)
    changed = images.clone()
    changed[..., 480:] = 0
    with torch.no_grad():
        before, after = encoder(images), encoder(changed)
    # The stem sees its neighbourhood, the blocks see the tokens and with them everything.
    assert torch.equal(before[1][..., :64], after[1][..., :64])
    assert not torch.equal(before[2][..., :32], after[2][..., :32])


def test_dynamic_relu_is_a_relu_before_it_has_learnt() -> None:
    act = DynamicReLU(8, 16)
    nn.init.zeros_(act.fc2.weight)
    nn.init.zeros_(act.fc2.bias)
    x = torch.randn(2, 8, 4, 6)
    torch.testing.assert_close(act(x, torch.randn(2, 3, 16)), x.relu())


def test_a_shuffle_deals_each_group_out() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert Shuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_unknown_option() -> None:
    with pytest.raises(ModelError, match=r"'tokens'.*expected none"):
        mobile_former.build("mobile_former_26m", tokens=8)
