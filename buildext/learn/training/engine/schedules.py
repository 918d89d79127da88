"""The learning rate over time, as a share of the full one.

A rise (the warm-up: adaptive optimisers know nothing of the gradients' size in their first steps),
then a fall along one of a few curves. Everything is a function of the step alone and keeps no
state, so a resumed run goes on exactly where it was.

| curve | after the warm-up, d from 0 to 1 |
|---|---|
| `cosine` | `(1 + cos π d) / 2`, down to 1 % (Loshchilov & Hutter 2017, without restarts) |
| `polynomial` | `(1 - d)^power`, down to 1 % (Chen et al. 2017 take the power 0.9) |
| `step` | `step_factor` to the power of the number of `milestones` passed |
| `constant` | 1 |
| `one-cycle` | half a cosine from 1/25 up to 1, another down to 1/250 000 (Smith & Topin 2018) |

The rise of `one-cycle` is its own and takes `one_cycle_rise` of all steps; the warm-up is not
applied to it. The momentum does not move.
"""

from __future__ import annotations

import math

from buildext.learn.training.config import ScheduleSection

# What is left of the rate at the end of a run.
_LEAST = 0.01
# Smith's range: where one cycle begins, and where it ends as a share of that.
_CYCLE_START, _CYCLE_END = 1 / 25, 1 / 25 * 1e-4


def rate_factor(step: int, schedule: ScheduleSection) -> float:
    """The share of the full learning rate at a step, counted from 0."""
    if schedule.curve == "one-cycle":
        return _one_cycle(step, schedule)
    warm_up = schedule.warm_up_steps if schedule.warm_up == "linear" else 0
    if step < warm_up:
        return (step + 1) / warm_up
    length = max(1, schedule.steps - warm_up)
    done = min(1.0, (step - warm_up) / length)
    match schedule.curve:
        case "cosine":
            return _LEAST + (1 - _LEAST) * 0.5 * (1 + math.cos(math.pi * done))
        case "polynomial":
            return _LEAST + (1 - _LEAST) * math.pow(1 - done, schedule.power)
        case "step":
            passed = sum(done >= milestone for milestone in schedule.milestones)
            return float(schedule.step_factor**passed)
        case "constant":
            return 1.0


def _one_cycle(step: int, schedule: ScheduleSection) -> float:
    top = schedule.one_cycle_rise * schedule.steps - 1
    last = schedule.steps - 1
    if step <= top:
        return _half_cosine(_CYCLE_START, 1.0, step / top if top > 0 else 1.0)
    return _half_cosine(1.0, _CYCLE_END, min(1.0, (step - top) / (last - top)))


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))
