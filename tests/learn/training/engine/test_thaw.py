"""Which parameters move: levels found by gradients, plans that freeze what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from buildext.learn.networks.build import SegmentationNetwork, build_network
from buildext.learn.training.engine.levels import parameter_levels
from buildext.learn.training.engine.thaw import Thaw
from buildext.models.card import NetworkSpec


@pytest.fixture
def network(tiny_spec: NetworkSpec) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(tiny_spec, ("building",))


def test_levels_follow_the_depth(network: SegmentationNetwork) -> None:
    levels = parameter_levels(network)
    assert set(levels) == {name for name, _ in network.named_parameters()}
    assert {level for name, level in levels.items() if not name.startswith("encoder.")} == {6}
    # timm numbers its stages: the levels must never fall from one stage to the next.
    for earlier, later in ((0, 1), (1, 2), (2, 3), (3, 4)):
        first = [v for k, v in levels.items() if f"model.blocks.{earlier}." in k]
        second = [v for k, v in levels.items() if f"model.blocks.{later}." in k]
        if first and second:
            assert max(first) <= min(second)
    assert levels["encoder.model.conv_stem.weight"] == 1
    assert {1, 2, 3, 4, 5} <= set(levels.values())


def test_a_level_is_the_first_map_that_changes(network: SegmentationNetwork) -> None:
    """Independently of gradients: disturb one parameter and see which map moves first."""
    levels = parameter_levels(network)
    network.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network.encoder(image)[1:]
        for name, parameter in list(network.named_parameters())[::7]:
            if not name.startswith("encoder.") or levels[name] > 5:
                continue
            kept = parameter.clone()
            parameter.add_(0.5)
            after = network.encoder(image)[1:]
            parameter.copy_(kept)
            moved = [i for i in range(5) if not torch.equal(before[i], after[i])]
            assert moved and moved[0] + 1 >= levels[name], name


def test_the_network_is_left_as_it_was(network: SegmentationNetwork) -> None:
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.train()
    next(iter(network.encoder.parameters())).requires_grad_(False)
    parameter_levels(network)
    assert network.training
    assert not next(iter(network.encoder.parameters())).requires_grad
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_gradual_opens_one_level_in_each_part() -> None:
    levels = {"a": 1, "b": 2, "c": 3, "head": 4}
    plan = Thaw("gradual", levels)
    assert [plan.first_open(step, 8) for step in range(8)] == [4, 4, 3, 3, 2, 2, 1, 1]
    assert {Thaw("decoder", levels).first_open(step, 8) for step in range(8)} == {4}
    assert {Thaw("full").first_open(step, 8) for step in range(8)} == {0}


def test_discriminative_rates_fall_with_depth() -> None:
    plan = Thaw("discriminative", {"a": 1, "b": 2, "head": 3}, decay=0.5)
    assert [plan.factor(name) for name in ("head", "b", "a")] == [1.0, 0.5, 0.25]
    assert plan.first_open(0, 10) == 0


def test_what_is_frozen_does_not_move(network: SegmentationNetwork) -> None:
    levels = parameter_levels(network)
    plan = Thaw("decoder", levels)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    plan.apply(network, plan.first_open(0, 1))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    optimiser.step()
    for name, value in network.state_dict().items():
        if name.startswith("encoder.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]), name
    moved = [n for n, v in network.named_parameters() if not torch.equal(v, before[n])]
    assert {name for name in levels if levels[name] == 6} == set(moved)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    assert {m.training for m in norms} == {True, False}
    assert isinstance(network, nn.Module) and network.training
