"""How noisy and clean labels are used together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from buildext.learn.training.config.section import Section

Role = Literal["noisy", "clean"]


class MethodSection(Section):
    """The method of training and what it needs; keys of other methods are ignored.

    Attributes:
        kind: `supervised`, `sda` (noisy labels, then clean ones), `kd` (a teacher on noisy labels,
            a student on clean ones), `dml` (peers that learn together), `align` (noisy labels are
            moved onto the roofs and learned again), `align+sda`, `sda+align` (the adapted network
            moves the noisy labels, and all are learned), or `adapt` (a few labels, held by what the
            network saw before).
        labels: which labels `supervised` and `dml` learn from.
        noisy_share: of all steps, those on noisy labels, in the methods with two phases.
        clean_rate: learning rate of the clean phase as a share of the full one.
        unfreeze: what the clean phase of `sda`, or `adapt`, changes: everything (`full`), all but
            the encoder (`decoder`), the decoder first and one encoder level more in each part of
            the phase (`gradual`), or everything with rates that fall with depth
            (`discriminative`).
        depth_decay: factor of the rate from one encoder level to the next shallower one.
        temperature: of `kd`, `dml` and `adapt`; softens both distributions.
        distillation: weight of the teacher's part (`kd`: the labels' part has the rest) or of the
            peers' or the earlier network's part (`dml`, `adapt`: beside the labels' part, which
            counts 1).
        peers: number of networks in `dml`.
        rounds: how often `align` moves the labels.
        max_shift_m: how far `align` may move a label.
        min_confidence: labels moved with less are ignored in the loss.
    """

    kind: Literal["supervised", "sda", "kd", "dml", "align", "align+sda", "sda+align", "adapt"] = (
        "supervised"
    )
    labels: Literal["all", "noisy", "clean"] = "all"
    noisy_share: float = Field(default=0.6, gt=0, lt=1)
    clean_rate: float = Field(default=0.3, gt=0, le=1)
    unfreeze: Literal["full", "decoder", "gradual", "discriminative"] = "full"
    depth_decay: float = Field(default=0.6, gt=0, le=1)
    temperature: float = Field(default=2.0, gt=0)
    distillation: float = Field(default=0.5, ge=0)
    peers: int = Field(default=2, ge=2)
    rounds: int = Field(default=2, ge=1)
    max_shift_m: float = Field(default=8.0, gt=0)
    min_confidence: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _share(self) -> MethodSection:
        if self.kind == "kd" and self.distillation > 1:
            raise ValueError("distillation is a share in `kd`: at most 1")
        return self
