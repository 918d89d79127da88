"""How long, how fast, and on what: steps, optimiser and machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from buildext.learn.training.config.section import Section

Optimiser = Literal["sgd", "adam", "adamw", "rmsprop", "nadam", "radam"]
Curve = Literal["cosine", "polynomial", "step", "constant", "one-cycle"]
Momentum = Annotated[float, Field(gt=0, lt=1)]


class ScheduleSection(Section):
    """Steps, batch, optimiser and learning rate.

    `momentum` is of sgd and rmsprop, `betas` of adam and its kin. `curve` is what the rate does
    after the warm-up; `power` is of polynomial, `step_factor` and `milestones` (shares of the
    steps after the warm-up, rising) are of step, `one_cycle_rise` (a share of all steps) is of
    one-cycle, which has no other warm-up.

    `accumulate` cuts a batch into that many parts whose gradients are added before a step.
    `patience` ends a phase after so many validations without gain; 0 never does.
    """

    steps: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    optimiser: Optimiser = "adamw"
    learning_rate: float = Field(default=1.5e-3, gt=0)
    encoder_factor: float = Field(default=0.3, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    momentum: Momentum = 0.9
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    curve: Curve = "cosine"
    power: float = Field(default=0.9, gt=0)
    step_factor: float = Field(default=0.1, gt=0, le=1)
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.6, 0.85)
    one_cycle_rise: float = Field(default=0.3, gt=0, lt=1)
    warm_up: Literal["linear", "none"] = "linear"
    warm_up_steps: int = Field(default=100, ge=0)
    clip_norm: float = Field(default=2.0, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    checkpoint_every: int = Field(default=200, ge=1)
    validate_every: int = Field(default=200, ge=1)
    patience: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _rising(self) -> ScheduleSection:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must rise, such as [0.6, 0.85]")
        return self


class MachineSection(Section):
    """Where and how fast; nothing here changes what is learned but the last bits."""

    device: str = "auto"
    precision: Literal["auto", "bf16", "float32"] = "auto"
    threads: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=0)
