"""The study's table: one row a run, in the order of the design, for people with a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from buildext.atomic import atomic_path
from buildext.learn.study.ranking import ArmResult
from buildext.learn.study.record import HELD_OUT_SCORE

COLUMNS = (
    "stage",
    "rank",
    "arm",
    "seed",
    "status",
    "score",
    "held_out",
    "baseline",
    "trained",
    "parameters",
    "macs_256",
    "steps",
    "seconds",
    "tiles_s",
    "run",
    "reason",
)


def write_table(path: Path, stages: Sequence[tuple[str, Sequence[ArmResult]]], metric: str) -> None:
    """Write the runs of all stages.

    Args:
        path: of the CSV file; an existing one is replaced.
        stages: name and arms of each, the best arm first.
        metric: name of the score in the column `score`.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for stage, arms in stages:
        for arm in arms:
            for seed, run in arm.runs.items():
                row: list[object] = [stage, arm.rank, arm.label, seed]
                if run is None:
                    rows.writerow([*row, "open", *[None] * (len(COLUMNS) - 5)])
                    continue
                row += [run.status, _four(run.scores.get(metric))]
                row += [_four(run.scores.get(HELD_OUT_SCORE)), _four(run.baseline)]
                trained = {True: "yes", False: "no", None: ""}[run.trained]
                row += [trained, run.parameters, run.macs_256, run.steps]
                row += [_one(run.seconds), _one(run.tiles_s), run.key, run.reason]
                rows.writerow(row)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
