"""One comparison, from models and scenes to ranked rows."""

from __future__ import annotations

from collections.abc import Sequence

from buildext.benchmark.accuracy import accuracy
from buildext.benchmark.arms import Arm
from buildext.benchmark.result import Comparison, Row, ranked
from buildext.benchmark.scenes import LabelledScene
from buildext.benchmark.speed import time_in_turns
from buildext.diagnosis import environment
from buildext.progress import Progress, SilentProgress


def compare(
    arms: Sequence[Arm],
    scenes: Sequence[LabelledScene],
    *,
    tiles: int,
    rounds: int,
    threads: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Score and time all arms.

    Args:
        arms: see `arms.arms_of`.
        scenes: see `scenes`.
        tiles: that an arm runs in each round.
        rounds: how often each is timed.
        threads: of the engines; 0 takes all.
        progress: told each scene of each arm, then each turn.

    Raises:
        BuildextError: a scene or its labels cannot be used.
    """
    progress = progress or SilentProgress()
    progress.start("scoring", len(arms) * len(scenes))
    scores = []
    for arm in arms:
        by_scene = {}
        for scene in scenes:
            by_scene[scene.name] = accuracy(arm, scene, threads)
            progress.advance()
        scores.append(by_scene)
    progress.finish()
    speeds = time_in_turns(
        arms, scenes, tiles=tiles, rounds=rounds, progress=progress, threads=threads
    )
    rows = [Row(*parts) for parts in zip(arms, scores, speeds, strict=True)]
    return ranked(rows, environment())
