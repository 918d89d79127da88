"""What is held out, and how much of the clean labels may be used."""

from __future__ import annotations

from pydantic import Field, model_validator

from buildext.learn.training.config.section import Section


class SplitSection(Section):
    """The split by place, in square blocks of a scene or in whole scenes.

    Attributes:
        block_m: side of a block.
        hold_out: share of the blocks for monitoring and early stopping.
        test: share of the blocks that are scored once, at the end.
        scenes: patterns of scenes (`dataset/stem`) held out whole for monitoring.
        test_scenes: patterns of scenes held out whole for the test.
        gap_m: what lies nearer than this to a held-out block is not trained on either.
        clean_share: share of each dataset's clean labels (by building area, in whole blocks, at
            least one) that is used; the rest of the clean scenes is left out.
        seed: of the choice of held-out blocks; the config's own seed without one. Clean blocks
            are always drawn by the config's seed.
    """

    block_m: float = Field(default=64.0, gt=0)
    hold_out: float = Field(default=0.12, ge=0.0, lt=1.0)
    test: float = Field(default=0.0, ge=0.0, lt=1.0)
    scenes: tuple[str, ...] = ()
    test_scenes: tuple[str, ...] = ()
    gap_m: float = Field(default=0.0, ge=0.0)
    clean_share: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _leaves_something(self) -> SplitSection:
        if self.hold_out + self.test >= 1:
            raise ValueError("hold_out and test together must be below 1")
        return self
