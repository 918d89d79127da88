"""The data of a run: which tiles are drawn, what is held out, how tiles are changed."""

from __future__ import annotations

from pydantic import Field, model_validator

from buildext.learn.training.config.section import Section


class SamplingSection(Section):
    """Which tiles are drawn, at which resolution, and how often from each dataset."""

    tile_px: int = Field(default=256, ge=32, multiple_of=32)
    gsd_m: tuple[float, float] = (0.10, 0.65)
    max_upsampling: float = Field(default=1.7, ge=1.0)
    weights: dict[str, float] = Field(default_factory=dict)
    empty_tiles: float = Field(default=0.5, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _ordered(self) -> SamplingSection:
        if not 0 < self.gsd_m[0] <= self.gsd_m[1]:
            raise ValueError("gsd_m must be two positive numbers, the finer one first")
        return self


class SplitSection(Section):
    """What is held out for monitoring: whole scenes, or square blocks of the others."""

    block_m: float = Field(default=64.0, gt=0)
    hold_out: float = Field(default=0.12, ge=0.0, lt=1.0)
    scenes: tuple[str, ...] = ()


class AugmentSection(Section):
    """How strongly tiles are changed; 0 leaves them as they are."""

    strength: float = Field(default=1.0, ge=0.0, le=2.0)
    gray: float = Field(default=0.1, ge=0.0, le=1.0)
    nodata: float = Field(default=0.15, ge=0.0, le=1.0)
