"""The data of a run: which tiles are drawn, what is held out, how tiles are changed."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, model_validator

from buildext.learn.training.config.section import Section


class SamplingSection(Section):
    """Which tiles are drawn, at which resolution, and how often from each dataset.

    `rare_heights` is the share of tiles that are drawn at a building, each height class as often as
    the others; the classes are bounded by `height_limits_m`. `rotate` and `flip` are for images
    taken from above: where buildings lean, the direction of the lean is worth knowing. `hard_tiles`
    is the share of tiles that are drawn where the network errs, which is looked for after every
    `mine_every` steps of a phase. `paste` is the share of tiles that get buildings of another.
    """

    tile_px: int = Field(default=256, ge=32, multiple_of=32)
    gsd_m: tuple[float, float] = (0.10, 0.65)
    max_upsampling: float = Field(default=1.7, ge=1.0)
    weights: dict[str, float] = Field(default_factory=dict)
    empty_tiles: float = Field(default=0.5, ge=0.0, le=1.0)
    rotate: bool = True
    flip: bool = True
    paste: float = Field(default=0.0, ge=0.0, le=1.0)
    hard_tiles: float = Field(default=0.0, ge=0.0, le=1.0)
    mine_every: int = Field(default=400, ge=1)
    rare_heights: float = Field(default=0.0, ge=0.0, le=1.0)
    height_limits_m: tuple[float, ...] = (12.0, 36.0, 100.0)

    @model_validator(mode="after")
    def _ordered(self) -> SamplingSection:
        if not 0 < self.gsd_m[0] <= self.gsd_m[1]:
            raise ValueError("gsd_m must be two positive numbers, the finer one first")
        limits = (0.0, *self.height_limits_m)
        if any(low >= high for low, high in pairwise(limits)):
            raise ValueError("height_limits_m must be positive and ascending")
        return self


class AugmentSection(Section):
    """How strongly tiles are changed; 0 leaves them as they are."""

    strength: float = Field(default=1.0, ge=0.0, le=2.0)
    gray: float = Field(default=0.1, ge=0.0, le=1.0)
    nodata: float = Field(default=0.15, ge=0.0, le=1.0)
