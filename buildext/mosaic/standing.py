"""How far a mosaic is, from its ledger alone: also for somebody who only looks on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from buildext.mosaic.ledger import STAGES, Stage, State, TaskRow, is_held, read_ledger
from buildext.mosaic.rows import SourceRow
from buildext.mosaic.schedule import Task
from buildext.mosaic.times import Times

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a mosaic.

    Attributes:
        working: a process works on it now.
        finished: its outputs are written and up to date.
        counts: blocks by stage and state.
        seconds: mean time that a block took, by stage; None before the first.
        buildings, pixels: found and looked at so far.
        eta_s: time that the rest will take at the pace of the last run; None where that is unknown.
        failed: what went wrong in blocks that were given up, by name.
        damaged: files that were left out.
        workers: blocks done by each worker.
        times: where the time of the last run went; None before its end.
    """

    working: bool
    finished: bool
    counts: Mapping[Stage, Mapping[State, int]]
    seconds: Mapping[Stage, float | None]
    buildings: int
    pixels: int
    eta_s: float | None
    failed: Mapping[str, str]
    damaged: tuple[SourceRow, ...]
    workers: Mapping[str, int]
    times: Times | None

    def to_json(self) -> dict[str, Any]:
        """The state as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["damaged"] = [asdict(source) for source in self.damaged]
        values["times"] = None if self.times is None else self.times.to_json()
        return values


def standing(out: Path) -> Standing:
    """Read the state of a mosaic.

    Raises:
        MissingInputError: the folder is no mosaic.
    """
    with read_ledger(out) as ledger:
        tasks = ledger.tasks()
        sources = ledger.sources()
        finished = ledger.fact("finished") is not None
        times = ledger.fact("times")
    rows = list(tasks.values())
    counts = {stage: _count(row.state for row in rows if row.stage == stage) for stage in STAGES}
    seconds = {stage: _mean(rows, stage) for stage in STAGES}
    done = [row for row in rows if row.state == "done"]
    return Standing(
        working=is_held(out),
        finished=finished and len(done) == len(rows),
        counts=counts,
        seconds=seconds,
        buildings=sum(row.buildings for row in done),
        pixels=sum(row.valid_px for row in done),
        eta_s=_eta_s(tasks, seconds),
        failed={f"{r.block} {r.stage}": r.error for r in rows if r.state == "failed"},
        damaged=tuple(source for source in sources if source.state == "damaged"),
        workers=_count(row.worker for row in done if row.worker),
        times=None if times is None else Times.from_json(times),
    )


def _count(values: Iterable[Name]) -> dict[Name, int]:
    return dict(Counter(values))


def _mean(rows: list[TaskRow], stage: Stage) -> float | None:
    """Mean seconds of the blocks that held anything."""
    took = [row.seconds for row in rows if row.stage == stage and row.state == "done"]
    return sum(took) / len(took) if took else None


def _eta_s(tasks: Mapping[Task, TaskRow], seconds: Mapping[Stage, float | None]) -> float | None:
    """Seconds of work that are left, divided by the number of workers that are busy."""
    left = [row for row in tasks.values() if row.state in ("waiting", "running")]
    if not left:
        return 0.0
    busy = max(1, sum(row.state == "running" for row in left))
    known = [value for value in seconds.values() if value is not None]
    if not known:
        return None
    return sum(seconds[row.stage] or min(known) for row in left) / busy
