"""The plan of a searched encoder, as values and as the text that a config or a model card keeps.

    stem   = "16 48"              16 channels at stride 2, 48 at stride 4
    stage1 = "mbconv 32 x2"       stride 4: two MBConv blocks of 32 channels
    stage2 = "mask 64 x2 pooled"  stride 8: mask-unit attention, its first block pools the queries
    stage3 = "single 144 x6"      stride 16
    stage4 = "global 256 x2"      stride 32; absent at depth 4

A stem wider than the first stage is *condensed* to it, as TurboViT condenses its embedding. A stage
of kind `tap` has no blocks: the map behind its shrinking convolution is handed out as it is, which
is what the stem of EfficientViT-M and SHViT does at strides 4 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from buildext.errors import ModelError

TAP = "tap"
ATTENDING = ("mask", "global")
KINDS = (TAP, "mbconv", "mask", "global", "mod", "cga", "single")
# Mask units are squares of 32 pixels: 8 × 8 tokens at stride 4, 4 × 4 at stride 8. Behind those
# they would be a token or four, and attention is global, as in Hiera.
MASKED_STAGES = 2
WIDTH_STEP = 8
STEM = "stem"
_STAGE = re.compile(r"(?P<kind>[a-z]+) (?P<width>\d+)(?: x(?P<blocks>\d+))?(?P<pooled> pooled)?")


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage.

    Attributes:
        kind: of its blocks, see `KINDS`.
        width: channels.
        blocks: how many; 0 for a `tap` alone.
        pooled: the map is halved by Q-pooling in the first block and not by a convolution.
    """

    kind: str
    width: int
    blocks: int
    pooled: bool = False

    def __str__(self) -> str:
        if self.kind == TAP:
            return f"{TAP} {self.width}"
        return f"{self.kind} {self.width} x{self.blocks}{' pooled' if self.pooled else ''}"


@dataclass(frozen=True, slots=True)
class SearchedPlan:
    """A whole encoder.

    Attributes:
        half: channels of the stem's first map, at stride 2.
        embed: channels of its second, at stride 4.
        stages: at strides 4, 8, 16 and, at depth 5, 32.

    Raises:
        ModelError: a stage cannot be built where it stands.
    """

    half: int
    embed: int
    stages: tuple[StagePlan, ...]

    def __post_init__(self) -> None:
        for number, stage in enumerate(self.stages, start=1):
            wrong = _problem(number, stage)
            if wrong:
                raise ModelError(
                    f"got stage{number} = {str(stage)!r}; {wrong}",
                    hint="docs/search.md tells what a stage may be",
                )
        if min(self.half, self.embed) < 1:
            raise ModelError("got a stem without channels", hint='write stem = "16 32"')

    @property
    def depth(self) -> int:
        """Halvings: the stem's first, and one for each stage."""
        return 1 + len(self.stages)

    def options(self) -> dict[str, bool | int | float | str]:
        """The plan as `encoder_options` of a network spec."""
        stages = {f"stage{i}": str(stage) for i, stage in enumerate(self.stages, start=1)}
        return {STEM: f"{self.half} {self.embed}", **stages}


def option_names(depth: int) -> tuple[str, ...]:
    """What a plan of so many halvings is told by."""
    return STEM, *(f"stage{number}" for number in range(1, depth))


def parse_plan(options: Mapping[str, object], depth: int) -> SearchedPlan:
    """The plan that options describe; all of `option_names` must be there.

    Raises:
        ModelError: one is missing or says nothing that can be built.
    """
    names = option_names(depth)
    missing = [name for name in names if name not in options]
    if missing:
        raise ModelError(
            f"the encoder 'searched' lacks the option {missing[0]!r} at depth {depth}; expected "
            f"{', '.join(names)}, or none at all",
            hint='such as stem = "16 48" and stage1 = "mbconv 32 x2"',
        )
    half, embed = _stem(str(options[STEM]))
    return SearchedPlan(half, embed, tuple(_stage(n, str(options[n])) for n in names[1:]))


def _stem(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+) (\d+)", text)
    if not found:
        raise ModelError(
            f"got stem = {text!r}; expected two widths, at strides 2 and 4",
            hint='such as stem = "16 48"',
        )
    return int(found[1]), int(found[2])


def _stage(name: str, text: str) -> StagePlan:
    found = _STAGE.fullmatch(text)
    if not found or found["kind"] not in KINDS:
        raise ModelError(
            f"got {name} = {text!r}; expected a kind ({', '.join(KINDS)}), a width and a number "
            "of blocks",
            hint=f'such as {name} = "mbconv 64 x2"',
        )
    blocks = int(found["blocks"] or 0)
    return StagePlan(found["kind"], int(found["width"]), blocks, bool(found["pooled"]))


def _problem(number: int, stage: StagePlan) -> str:
    """Why a stage cannot stand at a place; empty if it can."""
    if stage.kind not in KINDS:
        return f"expected one of the kinds {', '.join(KINDS)}"
    if stage.width < WIDTH_STEP or stage.width % WIDTH_STEP:
        return f"expected a width that is a multiple of {WIDTH_STEP}"
    if (stage.kind == TAP) != (stage.blocks == 0):
        return f"expected at least one block (x1), or the kind {TAP!r} without any"
    if stage.kind == "mask" and number > MASKED_STAGES:
        return f"expected mask units in the first {MASKED_STAGES} stages only"
    if stage.pooled and (stage.kind not in ATTENDING or number == 1):
        return f"expected pooled queries in blocks of {' or '.join(ATTENDING)} behind stage 1 only"
    return ""
