"""Groups, rates, and that every optimiser is torch's and does its work."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import nn

from buildext.learn.networks.build import build_network
from buildext.learn.training.config import ScheduleSection
from buildext.learn.training.config.schedule import Optimiser
from buildext.learn.training.engine.optimisers import (
    ParameterGroup,
    RunningMean,
    make_optimiser,
    parameter_groups,
    set_rate,
    slower_encoder,
)
from buildext.models.card import NetworkSpec

TORCH = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}
every_optimiser = pytest.mark.parametrize("name", get_args(Optimiser))


def scheduled(name: str = "adamw", **values: Any) -> ScheduleSection:
    return ScheduleSection(steps=100, optimiser=name, curve="constant", warm_up="none", **values)


def of_one(parameter: nn.Parameter, schedule: ScheduleSection) -> torch.optim.Optimizer:
    group = ParameterGroup((parameter,), 1.0, schedule.weight_decay)
    return make_optimiser([group], schedule)


def test_encoder_and_rest_matrices_and_vectors(tiny_spec: NetworkSpec) -> None:
    network = build_network(tiny_spec, ("building",))
    named = list(network.named_parameters())
    groups = parameter_groups(named, slower_encoder(0.3), 0.01)
    names = {parameter: name for name, parameter in named}
    assert sum(len(group.parameters) for group in groups) == len(named)
    assert {(g.factor, g.weight_decay) for g in groups} == {
        (0.3, 0.01),
        (0.3, 0.0),
        (1.0, 0.01),
        (1.0, 0.0),
    }
    for group in groups:
        for parameter in group.parameters:
            assert (group.factor == 0.3) == names[parameter].startswith("encoder.")
            assert (group.weight_decay > 0) == (parameter.ndim > 1)


def test_a_rate_for_each_name() -> None:
    layers = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(4)))
    groups = parameter_groups(layers.named_parameters(), lambda n: 0.5 ** int(n[0]), 0.0)
    assert [g.factor for g in groups] == [1.0, 0.5, 0.25, 0.125]
    schedule = scheduled(learning_rate=0.8)
    optimiser = make_optimiser(groups, schedule)
    assert set_rate(optimiser, 3, schedule) == 0.8
    assert [g["lr"] for g in optimiser.param_groups] == pytest.approx([0.8, 0.4, 0.2, 0.1])


def test_the_rate_follows_the_step_alone() -> None:
    schedule = ScheduleSection(steps=50, warm_up_steps=10, learning_rate=0.2)
    optimiser = of_one(nn.Parameter(torch.ones(2, 2)), schedule)
    forth = [set_rate(optimiser, step, schedule) for step in range(50)]
    back = [set_rate(optimiser, step, schedule) for step in reversed(range(50))]
    assert forth == back[::-1]
    assert forth[0] == pytest.approx(0.02)


@every_optimiser
def test_is_torchs_and_goes_downhill(name: str) -> None:
    goal = torch.tensor([[1.0, -2.0]])
    weights = nn.Parameter(torch.zeros(1, 2))
    rate = {"sgd": 0.05, "rmsprop": 0.01}.get(name, 0.1)
    schedule = scheduled(name, learning_rate=rate, weight_decay=0.0)
    optimiser = of_one(weights, schedule)
    assert type(optimiser) is TORCH[name]
    for step in range(100):
        set_rate(optimiser, step, schedule)
        optimiser.zero_grad()
        (weights - goal).square().sum().backward()
        optimiser.step()
    assert (weights - goal).abs().max() < 0.1


@every_optimiser
def test_keeps_its_state_in_tensors_alone(name: str) -> None:
    # A checkpoint holds tensors: whatever else a state held would be lost on resuming.
    weights = nn.Parameter(torch.ones(2, 3))
    optimiser = of_one(weights, scheduled(name))
    weights.sum().backward()
    optimiser.step()
    assert optimiser.state[weights]
    assert all(isinstance(value, torch.Tensor) for value in optimiser.state[weights].values())


@pytest.mark.parametrize("name", ["adamw", "nadam", "radam"])
def test_decoupled_decay_shrinks_by_rate_times_decay(name: str) -> None:
    weights = nn.Parameter(torch.full((2, 2), 3.0))
    optimiser = of_one(weights, scheduled(name, learning_rate=0.1, weight_decay=0.5))
    weights.grad = torch.zeros_like(weights)
    optimiser.step()
    torch.testing.assert_close(weights.detach(), torch.full((2, 2), 3.0 * (1 - 0.1 * 0.5)))


def test_sgd_takes_nesterovs_step() -> None:
    weights = nn.Parameter(torch.zeros(1, 1))
    optimiser = of_one(weights, scheduled("sgd", learning_rate=1.0, weight_decay=0.0, momentum=0.5))
    for _ in range(2):
        weights.grad = torch.ones_like(weights)
        optimiser.step()
    # v = 1, 1.5; each step is the gradient plus half of v: 1.5 and 1.75.
    assert weights.item() == pytest.approx(-3.25)


@every_optimiser
def test_a_factor_of_nought_and_a_missing_gradient_both_hold_still(name: str) -> None:
    slow, frozen = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    schedule = scheduled(name)
    groups = [ParameterGroup((slow,), 0.0, 0.01), ParameterGroup((frozen,), 1.0, 0.01)]
    optimiser = make_optimiser(groups, schedule)
    set_rate(optimiser, 0, schedule)
    slow.grad = torch.ones_like(slow)
    optimiser.step()
    assert torch.equal(slow, torch.ones(2, 2))
    assert torch.equal(frozen, torch.ones(2, 2))


def test_running_mean_has_a_short_memory_at_first() -> None:
    network = nn.BatchNorm1d(1)
    mean = RunningMean(network, 0.998)
    network.weight.data.fill_(3.0)
    network.num_batches_tracked.fill_(7)
    mean.update(network, 0)
    # 1 keeps a tenth, 3 takes the rest; counters are copied.
    assert mean.tensors["weight"].item() == pytest.approx(0.1 * 1 + 0.9 * 3)
    assert mean.tensors["num_batches_tracked"].item() == 7
    before = mean.tensors["weight"].item()
    network.weight.data.fill_(0.0)
    mean.update(network, 10_000)
    assert mean.tensors["weight"].item() == pytest.approx(0.998 * before)
