"""What is minimised."""

from __future__ import annotations

from pydantic import Field

from buildext.learn.training.config.section import Section


class LossSection(Section):
    """Weights of the parts of the loss and the geometry of the contact target."""

    contact: float = Field(default=0.7, ge=0.0)
    contact_positive: float = Field(default=3.0, gt=0.0)
    contact_m: float = Field(default=0.5, gt=0.0)
    contact_px: float = Field(default=1.25, gt=0.0)
