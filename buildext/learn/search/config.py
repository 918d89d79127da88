"""The config of a search: what is asked for, what it may be made of, and what may be spent on it.

One TOML file. `constraints` is what the user wants of the network on the `engine` that will run it;
`space` is what a network may be made of; `generator` and `budget` say how long to look. What the
candidates are trained on is a training config like any other, named by `base` or written below
`[training]`; its network, its steps and its seed are the search's own.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from buildext.errors import ModelError, UsageError
from buildext.learn.networks.decoders.table import decoder_entry
from buildext.learn.networks.encoders.searched_plan import TAP, SearchedPlan, StagePlan
from buildext.learn.training.config import TrainingConfig, check_config, read_toml
from buildext.learn.training.config.section import Section

GeneratorKind = Literal["nsga2", "tpe", "random"]


class ConstraintSection(Section):
    """What a network must keep: the indicator function. A limit that is not given does not bind.

    Attributes:
        latency_ms: of one tile on the engine.
        parameters: of the whole network.
        macs: multiply-accumulates of one tile.
        int8_share: of the multiply-accumulates that must run in int8 once the network is quantised.
        score: floor of the short training's score.
    """

    latency_ms: float = Field(gt=0)
    parameters: float | None = Field(default=None, gt=0)
    macs: float | None = Field(default=None, gt=0)
    int8_share: float = Field(default=0.0, ge=0, le=1)
    score: float = Field(default=0.0, ge=0, le=1)


class EngineSection(Section):
    """OpenVINO on this machine, as `extract` would run it."""

    tile_px: int = Field(default=256, ge=64, multiple_of=32)
    threads: int = Field(default=1, ge=0)
    precision: Literal["auto", "f32", "bf16"] = "auto"


class StageSpace(Section):
    """What one stage may be; a kind `tap` has no blocks, whatever `blocks` says."""

    kinds: tuple[str, ...] = Field(min_length=1)
    widths: tuple[int, ...] = Field(min_length=1)
    blocks: tuple[int, ...] = Field(default=(1,), min_length=1)
    pooled: tuple[bool, ...] = Field(default=(False,), min_length=1)


class DecoderSpace(Section):
    """One decoder with its widths, deepest first, for encoders of depth 5; none: its own."""

    name: str
    widths: tuple[int, ...] = ()
    head: Literal["conv", "subpixel"] = "conv"

    @property
    def label(self) -> str:
        """Name and widths in one word."""
        return "-".join([self.name, *map(str, self.widths)])

    def widths_at(self, depth: int) -> tuple[int, ...]:
        """The widths for an encoder of a depth: a halving less is a block less, the deepest."""
        count = decoder_entry(self.name).count(depth, self.head == "subpixel")
        return self.widths[max(0, len(self.widths) - count) :]


def _stage(kinds: str, widths: str, blocks: str, pooled: bool) -> StageSpace:
    numbers = [tuple(int(number) for number in text.split()) for text in (widths, blocks)]
    return StageSpace(
        kinds=tuple(kinds.split()),
        widths=numbers[0],
        blocks=numbers[1],
        pooled=(False, True) if pooled else (False,),
    )


class SpaceSection(Section):
    """All networks that may be proposed.

    Attributes:
        half: widths of the map at stride 2.
        condense: the stem's last map is so many times as wide as the first stage.
        depths: halvings; every one below 5 leaves a stage out at the end.
        stages: at strides 4, 8, 16 and 32.
        decoders: with their widths and heads.
    """

    half: tuple[int, ...] = (8, 12, 16, 24)
    condense: tuple[float, ...] = (1.0, 1.5, 2.0)
    depths: tuple[Literal[3, 4, 5], ...] = (4, 5)
    stages: tuple[StageSpace, ...] = (
        _stage("tap mbconv mask mod", "16 24 32 48", "1 2", False),
        _stage("tap mbconv mask mod cga single", "32 48 64 96", "1 2 3", True),
        _stage("mbconv global mod cga single", "64 96 128 176 224 288", "2 3 4 6 8", True),
        _stage("mbconv global cga single", "96 128 192 256 320 384", "1 2 3", True),
    )
    decoders: tuple[DecoderSpace, ...] = (
        DecoderSpace(name="unet", widths=(32, 24, 16, 12), head="subpixel"),
        DecoderSpace(name="unet", widths=(64, 48, 32, 16), head="subpixel"),
        DecoderSpace(name="unet", widths=(96, 64, 48, 32), head="subpixel"),
        DecoderSpace(name="unet", widths=(160, 128, 96, 48), head="subpixel"),
        DecoderSpace(name="linknet", head="subpixel"),
        DecoderSpace(name="fpn", widths=(48, 32)),
        DecoderSpace(name="fpn", widths=(96, 64)),
        DecoderSpace(name="segformer", widths=(48,)),
        DecoderSpace(name="segformer", widths=(128,)),
    )

    @model_validator(mode="after")
    def _buildable(self) -> SpaceSection:
        if not (self.half and self.condense and self.depths and self.decoders):
            raise ValueError("every list of the space needs one choice at least")
        if len(self.stages) != max(self.depths) - 1:
            raise ValueError(f"expected {max(self.depths) - 1} stages for depths {self.depths}")
        for number, stage in enumerate(self.stages, start=1):
            plain = StagePlan(TAP, 8, 0)
            for kind in stage.kinds:
                for width in stage.widths:
                    blocks = 0 if kind == TAP else min(stage.blocks)
                    _try_stage(number, plain, StagePlan(kind, width, blocks))
        for decoder in self.decoders:
            _try_decoder(decoder)
        return self


def _try_stage(number: int, plain: StagePlan, stage: StagePlan) -> None:
    try:
        SearchedPlan(8, 8, (*[plain] * (number - 1), stage))
    except ModelError as error:
        raise ValueError(str(error)) from error


def _try_decoder(decoder: DecoderSpace) -> None:
    try:
        count = decoder_entry(decoder.name).count(5, decoder.head == "subpixel")
    except ModelError as error:
        raise ValueError(str(error)) from error
    if len(decoder.widths) not in (0, count):
        raise ValueError(
            f"got {len(decoder.widths)} widths for the decoder {decoder.name} with a "
            f"{decoder.head} head; expected {count}, or none"
        )


class GeneratorSection(Section):
    """How networks are proposed.

    Attributes:
        kind: `nsga2` looks for the front of score and latency, `tpe` for the best performance,
            `random` is the control: it draws, and learns nothing.
        turns: of generator and inquisitor; the first draws at random, whatever the kind.
        proposals: networks that the generator may have judged by prediction in one turn.
        chosen: of these, how many are measured and trained.
        population: of `nsga2`.
    """

    kind: GeneratorKind = "nsga2"
    turns: int = Field(default=5, ge=1)
    proposals: int = Field(default=64, ge=1)
    chosen: int = Field(default=6, ge=1)
    population: int = Field(default=16, ge=2)


class PerformanceSection(Section):
    """Exponents of the performance function, see `performance`."""

    accuracy: float = Field(default=2.0, gt=0)
    parameters: float = Field(default=0.05, ge=0)
    macs: float = Field(default=0.05, ge=0)


class BudgetSection(Section):
    """What may be spent on trainings.

    Attributes:
        steps: of a candidate's short training.
        final_steps: of a finalist's.
        finalists: how many.
        metric: which score of a run counts.
        workers: trainings at a time, each in a process of its own; 1 trains in this one.
    """

    steps: int = Field(default=80, ge=1)
    final_steps: int = Field(default=240, ge=1)
    finalists: int = Field(default=3, ge=1)
    metric: str = "mean/building"
    workers: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _longer(self) -> BudgetSection:
        if self.final_steps <= self.steps:
            raise ValueError("final_steps must be more than steps")
        return self


class SearchConfig(Section):
    """A whole search.

    Attributes:
        name: of the search and of the model that comes out.
        seed: of everything that is drawn.
        base: file of the training config, relative to the search's; or else:
        training: its tables.
        references: encoders of the registry, each tried with the decoders of the space.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    title: str = ""
    seed: int = Field(default=0, ge=0)
    base: str = ""
    training: dict[str, Any] = Field(default_factory=dict)
    constraints: ConstraintSection
    engine: EngineSection = EngineSection()
    space: SpaceSection = SpaceSection()
    generator: GeneratorSection = GeneratorSection()
    performance: PerformanceSection = PerformanceSection()
    budget: BudgetSection = BudgetSection()
    references: tuple[str, ...] = ()


def load_search(path: Path) -> tuple[SearchConfig, TrainingConfig, Path]:
    """A search, the training that its candidates go through, and what its paths are relative to.

    Raises:
        MissingInputError: a file is missing.
        UsageError: a key or a value is wrong.
    """
    values = read_toml(path)
    try:
        config = SearchConfig.model_validate(values)
    except ValidationError as error:
        raise _as_usage(path, error) from error
    if bool(config.base) == bool(config.training):
        raise UsageError(
            f"{path}: got {'both' if config.base else 'neither'} of base and [training]; expected "
            "one",
            hint='write base = "training.toml", or the config\'s tables below [training]',
        )
    folder, training = path.resolve().parent, dict(config.training)
    if config.base:
        base_path = folder / config.base
        training, folder = read_toml(base_path), base_path.resolve().parent
    training.setdefault("name", config.name)
    schedule = dict(training.get("schedule", {}))
    schedule.setdefault("steps", config.budget.steps)
    return config, check_config({**training, "schedule": schedule}, str(path)), folder


def _as_usage(path: Path, error: ValidationError) -> UsageError:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        near = difflib.get_close_matches(key, list(SearchConfig.model_fields), 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "docs/search.md lists the keys"
        return UsageError(f"{path}: unknown key {key!r}", hint=hint)
    return UsageError(f"{path}: {key}: {problem['msg']}", hint="docs/search.md lists the keys")
