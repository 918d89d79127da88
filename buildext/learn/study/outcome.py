"""What is known of a study: its stages as far as their runs go.

The arms of a stage depend on the best arms of the one before, so the stages of a study come to be
known one after the other. All of it follows from the design and the records alone; nothing else is
remembered between two calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from buildext.learn.study.design import Arm, Design, StageSection, key_of
from buildext.learn.study.ranking import ArmResult, Comparison, compare_arms, rank_arms
from buildext.learn.study.record import RecordStore, RunRecord
from buildext.learn.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a stage: its config and, if it has been done, its record."""

    arm: Arm
    seed: int
    config: TrainingConfig
    key: str
    record: RunRecord | None


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """A stage with what came out of it so far.

    Attributes:
        section: as designed.
        arms: of its grid.
        results: the best arm first.
        comparisons: paired differences between arms.
        kept: arms that the next stage starts from; empty while the stage is not complete, and
            where no arm of it is trained.
    """

    section: StageSection
    arms: list[Arm]
    results: list[ArmResult]
    comparisons: list[Comparison]
    kept: list[Arm]

    @property
    def complete(self) -> bool:
        """Whether every run has a record."""
        return all(run is not None for arm in self.results for run in arm.runs.values())


def plan_stage(
    design: Design, stage: StageSection, carried: list[Arm], records: RecordStore
) -> list[PlannedRun]:
    """All runs of a stage: every arm with the first seed, then every arm with the second.

    So an interrupted stage has something to say of every arm early on.
    """
    arms = design.arms(stage, carried)
    planned = []
    for seed in design.seeds(stage):
        for arm in arms:
            config = design.config(arm, seed)
            key = key_of(config)
            planned.append(PlannedRun(arm, seed, config, key, records.load(key)))
    return planned


def judge_stage(design: Design, stage: StageSection, planned: list[PlannedRun]) -> StageOutcome:
    """Rank the arms of a stage and, once it is complete, choose those that go on."""
    runs: dict[str, dict[int, RunRecord | None]] = {}
    arms: dict[str, Arm] = {}
    for run in planned:
        arms[run.arm.label] = run.arm
        runs.setdefault(run.arm.label, {})[run.seed] = run.record
    metric, confidence = design.study.metric, design.study.confidence
    rows = [(label, arm.levels, runs[label]) for label, arm in arms.items()]
    results = rank_arms(rows, metric, confidence)
    comparisons = compare_arms(results, metric, stage.reference, confidence)
    outcome = StageOutcome(stage, list(arms.values()), results, comparisons, [])
    if not outcome.complete:
        return outcome
    if isinstance(stage.keep, tuple):
        kept = [design.named_arm(stage, outcome.arms, label) for label in stage.keep]
    else:
        ranked = [arms[result.label] for result in results if result.rank is not None]
        kept = ranked[: stage.keep]
    return StageOutcome(stage, outcome.arms, results, comparisons, kept)


def known_stages(design: Design, records: RecordStore) -> Iterator[StageOutcome]:
    """Stages in order, up to the first that hands nothing on, this one included."""
    carried: list[Arm] = []
    for stage in design.stages:
        outcome = judge_stage(design, stage, plan_stage(design, stage, carried, records))
        yield outcome
        if not outcome.kept:
            return
        carried = outcome.kept
