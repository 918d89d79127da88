"""What all parts of a config share: frozen values, and no unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the config: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
