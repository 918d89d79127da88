"""How long, how fast, and on what: steps, optimiser and machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from buildext.learn.training.config.section import Section


class ScheduleSection(Section):
    """Steps, batch and optimiser.

    `accumulate` cuts a batch into that many parts whose gradients are added before a step.
    `patience` ends a phase after so many validations without gain; 0 never does.
    """

    steps: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    encoder_factor: float = Field(default=0.3, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warm_up_steps: int = Field(default=100, ge=0)
    clip_norm: float = Field(default=2.0, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    checkpoint_every: int = Field(default=200, ge=1)
    validate_every: int = Field(default=200, ge=1)
    patience: int = Field(default=0, ge=0)


class MachineSection(Section):
    """Where and how fast; nothing here changes what is learned but the last bits."""

    device: str = "auto"
    precision: Literal["bf16", "float32"] = "bf16"
    threads: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=0)
