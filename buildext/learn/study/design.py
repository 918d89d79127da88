"""The design of a study: factors, arms, stages.

A *factor* is something that is varied, mostly one key of the training config, and its *levels* are
the values it takes. An *arm* is one choice of level for every factor: one training config but for
the seed. A *stage* is a full grid, the product of its factors. Its best arms are carried into the
next stage, whose own factors are varied on top of them; so 43 encoders, 9 losses × 5 optimisers
and 8 decoders are 43 + 45 + 8 arms instead of 15 480, at the price of assuming that the best
encoder for one loss is good for the others too (Neupane et al. 2023, arXiv 2311.03867, proceed
this way).

One TOML file describes a study:

    [study]
    name = "encoders"
    seeds = [0, 1, 2]
    metric = "mean/building"
    base = "base.toml"              # a training config; or [base] with its tables

    [[stages]]
    name = "encoders"
    keep = 2                        # arms carried on, or their labels
    [stages.factors]
    "network.encoder" = ["tu-resnet18", "tu-mobilenetv3_large_100"]

    [[stages]]
    name = "methods"
    reference = "clean only"
    [stages.factors]
    method = [
        { label = "clean only", "data.use" = "clean" },
        { label = "both", "data.use" = "both" },
    ]
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from buildext.errors import UsageError
from buildext.learn.training.config import TrainingConfig, check_config, read_toml
from buildext.learn.training.config.section import Section

LABEL = "label"
SEPARATOR = " · "
# Keys that do not change what is learned, or are the study's own business.
NOT_IN_THE_KEY = {"name": True, "machine": True, "data_root": True}
KEY_LENGTH = 16


class StudySection(Section):
    """What holds for the whole study."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    title: str = ""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    metric: str = "mean/building"
    base: str = ""
    keep_checkpoints: bool = False
    confidence: float = Field(default=0.95, gt=0, lt=1)


class StageSection(Section):
    """One stage: a grid of factors on top of what the stage before handed on."""

    name: str = Field(min_length=1)
    factors: dict[str, Any] = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys that all arms of the stage share, such as a longer schedule; not handed on."""
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1)
    keep: int | tuple[str, ...] = Field(default=1)
    reference: str = ""
    """Label of the arm that all others are compared with; without it, all pairs are."""

    @field_validator("keep")
    @classmethod
    def _some(cls, keep: int | tuple[str, ...]) -> int | tuple[str, ...]:
        if isinstance(keep, int) and keep < 1:
            raise ValueError("at least one arm must be kept")
        return keep


class _StudyFile(Section):
    study: StudySection
    base: dict[str, Any] = Field(default_factory=dict)
    stages: tuple[StageSection, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Level:
    """One value of a factor: a label and the dotted config keys that it sets."""

    label: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arm:
    """One choice of level for every factor.

    Attributes:
        label: unique in its stage.
        levels: label of the level by factor, those of earlier stages first.
        values: dotted config keys that differ from the study's base and are handed on.
        settings: dotted config keys of this stage alone.
    """

    label: str
    levels: Mapping[str, str]
    values: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Design:
    """A whole study, checked.

    Attributes:
        study: what holds for all stages.
        stages: in order.
        base: plain values of the training config that arms start from.
        folder: paths in `base` and in factors are relative to this.
        origin: the study's file, for messages.
    """

    study: StudySection
    stages: tuple[StageSection, ...]
    base: Mapping[str, Any]
    folder: Path
    origin: str

    def seeds(self, stage: StageSection) -> tuple[int, ...]:
        """Seeds of a stage."""
        return stage.seeds or self.study.seeds

    def arms(self, stage: StageSection, carried: list[Arm]) -> list[Arm]:
        """The grid of a stage on top of each carried arm; without any, on top of the base."""
        factors = dict(factors_of(stage))
        settings = dict(_leaves(stage.set))
        arms = []
        for before in carried or [Arm("", {}, {}, {})]:
            for levels in itertools.product(*factors.values()):
                own = SEPARATOR.join(level.label for level in levels)
                # With one arm carried on, its name in front of every label says nothing.
                label = f"{before.label}{SEPARATOR}{own}" if len(carried) > 1 else own
                values = dict(before.values)
                for level in levels:
                    values |= level.values
                named = {factor: level.label for factor, level in zip(factors, levels, strict=True)}
                arms.append(Arm(label, {**before.levels, **named}, values, settings))
        twice = [a.label for i, a in enumerate(arms) if a.label in {b.label for b in arms[:i]}]
        if twice:
            raise UsageError(
                f"{self.origin}: stage {stage.name!r} has two arms called {twice[0]!r}",
                hint="give the levels different labels",
            )
        if stage.reference and stage.reference not in {arm.label for arm in arms}:
            raise self._no_arm(stage, arms, stage.reference, "reference")
        return arms

    def named_arm(self, stage: StageSection, arms: list[Arm], label: str) -> Arm:
        """The arm that `keep` names.

        Raises:
            UsageError: the stage has no such arm.
        """
        for arm in arms:
            if arm.label == label:
                return arm
        raise self._no_arm(stage, arms, label, "keep")

    def _no_arm(self, stage: StageSection, arms: list[Arm], label: str, key: str) -> UsageError:
        near = difflib.get_close_matches(label, [arm.label for arm in arms], 1, 0.0)
        return UsageError(
            f"{self.origin}: stage {stage.name!r}: {key} names {label!r}, which is no arm of it",
            hint=f"did you mean {near[0]!r}?",
        )

    def config(self, arm: Arm, seed: int) -> TrainingConfig:
        """The training config of one run.

        Raises:
            UsageError: a key or a value is wrong, or keys contradict each other.
        """
        values = copy.deepcopy(dict(self.base))
        for key, value in {**arm.values, **arm.settings}.items():
            _put(values, key, value, self.origin)
        values["seed"] = seed
        return check_config(values, f"{self.origin}: arm {arm.label!r}")


def load_design(path: Path) -> Design:
    """Read a study, and check every level of every stage before anything is trained.

    Raises:
        MissingInputError: there is no such file, or no base config.
        UsageError: a key or a value is wrong.
    """
    values = read_toml(path)
    try:
        file = _StudyFile.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            f"{path}: {key}: {problem['msg']}", hint="docs/study.md lists the keys of a study"
        ) from error
    base, folder = dict(file.base), path.resolve().parent
    if bool(base) == bool(file.study.base):
        raise UsageError(
            f"{path}: got {'both' if base else 'neither'} of study.base and [base]; expected one",
            hint='write base = "config.toml" below [study], or the config\'s tables below [base]',
        )
    if file.study.base:
        base_path = folder / file.study.base
        base, folder = read_toml(base_path), base_path.resolve().parent
    base.setdefault("name", file.study.name)
    design = Design(file.study, file.stages, base, folder, str(path))
    _check(design)
    return design


def factors_of(stage: StageSection) -> Iterator[tuple[str, list[Level]]]:
    """Factors and their levels.

    A plain value sets the key that the factor is named after. A table with a `label` sets several
    keys together, and the factor's name is only a name.

    Raises:
        UsageError: a factor has no levels, or a level no label.
    """
    for key, levels in _leaves(stage.factors):
        if not isinstance(levels, list) or not levels:
            raise UsageError(
                f"stage {stage.name!r}: factor {key!r}: got {levels!r}; expected a list of levels",
                hint=f'write "{key}" = [first, second]',
            )
        yield key, [_level(stage, key, level) for level in levels]


def key_of(config: TrainingConfig) -> str:
    """The name of a run: a hash of its resolved config, its seed included.

    Two arms of different stages with the same config share one run. Where a run is computed, what
    it is called and where the data lie do not count. Nor does what stands at its default: a key
    that a later version adds must not orphan the records there are.
    """
    values = config.model_dump(mode="json", exclude=NOT_IN_THE_KEY, exclude_defaults=True)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def _level(stage: StageSection, key: str, level: Any) -> Level:
    if isinstance(level, dict):
        label = level.get(LABEL)
        if not isinstance(label, str):
            raise UsageError(
                f"stage {stage.name!r}: factor {key!r}: a level of several keys has no label",
                hint='add label = "..." to the table',
            )
        return Level(label, {k: v for k, v in _leaves(level) if k != LABEL})
    label = level if isinstance(level, str) else json.dumps(level)
    return Level(label, {key: level})


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested tables: TOML reads `a.b = []` without quotes as a table in a table."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _put(values: dict[str, Any], key: str, value: Any, origin: str) -> None:
    """Set a dotted key of nested tables."""
    *parents, last = key.split(".")
    for parent in parents:
        below = values.setdefault(parent, {})
        if not isinstance(below, dict):
            raise UsageError(
                f"{origin}: {key!r} goes through {parent!r}, which is no table",
                hint="name a key of the training config; docs/training.md lists them",
            )
        # A table of the base belongs to all arms.
        values[parent] = below = dict(below)
        values = below
    values[last] = value


def _check(design: Design) -> None:
    """Build the config of every arm that can be known now; those carried on are not yet."""
    prefixed = False
    for stage in design.stages:
        # Labels begin with those of the arms carried on, where these are several.
        known = stage.model_copy(update={"reference": ""}) if prefixed else stage
        arms = design.arms(known, [])
        for arm in arms:
            design.config(arm, design.seeds(stage)[0])
        named = stage.keep if isinstance(stage.keep, tuple) else ()
        for label in named if not prefixed else ():
            design.named_arm(stage, arms, label)
        prefixed = (len(named) or stage.keep) != 1
