"""The learning rate over time, against torch's own schedulers where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.optim import lr_scheduler

from buildext.learn.training.config import ScheduleSection
from buildext.learn.training.engine.schedules import rate_factor

STEPS = 40


def factors(**values: Any) -> list[float]:
    schedule = ScheduleSection(steps=STEPS, **values)
    return [rate_factor(step, schedule) for step in range(STEPS)]


def torch_factors(make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser)
    rates = []
    for _ in range(STEPS):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        scheduler.step()
    return rates


def test_the_default_rises_and_falls_along_half_a_cosine_to_a_hundredth() -> None:
    found = factors(warm_up_steps=10)
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    cosine = [0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * i / 30)) for i in range(30)]
    assert found[10:] == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("values", "make"),
    [
        (
            {"curve": "cosine"},
            lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.01),
        ),
        (
            {"curve": "step", "milestones": (0.5, 0.75), "step_factor": 0.2},
            lambda o: lr_scheduler.MultiStepLR(o, [20, 30], gamma=0.2),
        ),
        ({"curve": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        (
            {"curve": "one-cycle", "one_cycle_rise": 0.25},
            lambda o: lr_scheduler.OneCycleLR(
                o, 1.0, total_steps=STEPS + 1, pct_start=0.25, cycle_momentum=False
            ),
        ),
    ],
    ids=["cosine", "step", "constant", "one-cycle"],
)
def test_equals_torch(values: dict[str, Any], make: Callable[..., Any]) -> None:
    if values["curve"] == "one-cycle":
        # One step more than asked for: torch raises when stepped past the last.
        schedule = ScheduleSection(steps=STEPS + 1, **values)
        found = [rate_factor(step, schedule) for step in range(STEPS)]
    else:
        found = factors(warm_up="none", **values)
    assert found == pytest.approx(torch_factors(make), rel=1e-5)


def test_polynomial_equals_torch_but_for_the_hundredth_that_is_left() -> None:
    found = factors(warm_up="none", curve="polynomial", power=0.9)
    theirs = torch_factors(lambda o: lr_scheduler.PolynomialLR(o, STEPS, power=0.9))
    assert found == pytest.approx([0.01 + 0.99 * rate for rate in theirs])


@pytest.mark.parametrize("curve", ["cosine", "polynomial", "step", "constant"])
def test_every_curve_but_one_cycle_warms_up_first(curve: str) -> None:
    found = factors(curve=curve, warm_up_steps=8)
    assert found[:8] == pytest.approx([(i + 1) / 8 for i in range(8)])
    assert found[8] == 1.0
    assert all(b <= a for a, b in pairwise(found[8:]))


def test_one_cycle_has_its_own_warm_up() -> None:
    assert factors(curve="one-cycle", warm_up_steps=8) == factors(curve="one-cycle", warm_up="none")


@pytest.mark.parametrize("curve", ["cosine", "polynomial", "step", "constant", "one-cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_runs_of_a_few_steps_are_defined(curve: str, steps: int) -> None:
    schedule = ScheduleSection(steps=steps, curve=curve)
    assert all(0 < rate_factor(step, schedule) <= 1 for step in range(steps + 2))


def test_milestones_must_rise() -> None:
    with pytest.raises(ValidationError, match="milestones must rise"):
        ScheduleSection(steps=1, milestones=(0.8, 0.6))
