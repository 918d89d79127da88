"""What is minimised: the kind of loss, its parameters, and the geometry of the targets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from buildext.learn.training.config.section import Section

Kind = Literal[
    "bce", "dice", "jaccard", "focal", "tversky", "focal-tversky", "lovasz", "mcc", "bce+dice"
]
Robust = Literal["none", "bootstrap-soft", "bootstrap-hard", "gce"]


class LossSection(Section):
    """Kind and parameters of the loss, weights of its channels, softness of its targets.

    A parameter of a kind that is not chosen has no effect. `edge_smoothing_m` and `ignore_band_m`
    are lengths on the ground; 0 leaves the labels as they are. `offset_range_m` is the longest step
    from roof to footprint that the offset channels can say along an axis, `offset` the weight of an
    error of a 32nd of that.
    """

    kind: Kind = "bce+dice"
    focal_gamma: float = Field(default=2.0, ge=1.0)
    focal_alpha: float = Field(default=0.25, ge=0.0, le=1.0)
    tversky_alpha: float = Field(default=0.3, ge=0.0)
    tversky_beta: float = Field(default=0.7, ge=0.0)
    focal_tversky_gamma: float = Field(default=4 / 3, gt=0.0)
    lovasz_per: Literal["image", "batch"] = "image"

    robust: Robust = "none"
    bootstrap_soft_trust: float = Field(default=0.95, ge=0.0, le=1.0)
    bootstrap_hard_trust: float = Field(default=0.8, ge=0.0, le=1.0)
    gce_q: float = Field(default=0.7, gt=0.0, le=1.0)

    edge_smoothing_m: float = Field(default=0.0, ge=0.0, le=20.0)
    ignore_band_m: float = Field(default=0.0, ge=0.0, le=20.0)

    contact: float = Field(default=0.7, ge=0.0)
    contact_positive: float = Field(default=3.0, gt=0.0)
    contact_m: float = Field(default=0.5, gt=0.0)
    contact_px: float = Field(default=1.25, gt=0.0)

    offset: float = Field(default=1.0, ge=0.0)
    offset_range_m: float = Field(default=100.0, gt=0.0)

    @model_validator(mode="after")
    def _robust_replaces_cross_entropy(self) -> LossSection:
        if self.robust != "none" and self.kind not in ("bce", "bce+dice"):
            raise ValueError(
                f"robust = {self.robust!r} stands in the place of the cross-entropy, which "
                f"kind = {self.kind!r} does not have; take kind 'bce' or 'bce+dice'"
            )
        return self
