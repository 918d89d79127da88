"""The run: blocks to workers, outcomes to the ledger, until there is nothing left to do.

One process coordinates. It hands out as much as the executor takes, writes down what comes back,
and decides what becomes of errors:

- a *damaged file* is left out, as a whole, and every block that reads it is done without it. What
  comes out thus depends on which files are damaged, not on when it was noticed;
- *lost workers* and errors of other kinds are tried again, some times;
- a *full disk* or an unusable model would meet every block: the run ends, and can be continued.

A run that ends in whatever way, `kill -9` included, is continued by the same command.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buildext import __version__
from buildext.errors import (
    BuildextError,
    DamagedSceneError,
    ModelError,
    NotWritableError,
    OutputError,
    OutputExistsError,
    SceneError,
)
from buildext.mosaic.block import predict_block
from buildext.mosaic.executors.base import Ended, Executor, Work
from buildext.mosaic.finish import Finished, finish
from buildext.mosaic.grid import PROBABILITY as RASTERS
from buildext.mosaic.grid import BlockId, probability_path, source_path
from buildext.mosaic.ledger import FOOTPRINTS, LOCK, NAME, PROBABILITY, Ledger, TaskRow, open_ledger
from buildext.mosaic.options import MosaicOptions, RunOptions
from buildext.mosaic.outline import footprints_path, outline_block
from buildext.mosaic.plan import digest
from buildext.mosaic.prepare import Prepared, prepare, without_files
from buildext.mosaic.rows import BlockOutcome, BlockRow, worker_name
from buildext.mosaic.schedule import Board, Task
from buildext.mosaic.times import Span, Times
from buildext.progress import Progress
from buildext.scene.access import is_remote

log = logging.getLogger(__name__)

# Errors that every other block would meet too.
_FATAL = (OutputError, ModelError)
# Outlines take about so much of the time that the network takes.
_OUTLINE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class MosaicResult:
    """What came of a run.

    Attributes:
        blocks: number of blocks of the mosaic.
        done: tasks (stages of blocks) that this run did.
        pixels: with data, of the whole mosaic.
        damaged: what is wrong with files that were left out.
        failed: blocks that were given up, and why.
        exit_code: of the first of these, 0 where there is none.
        finished: the outputs; None where they were up to date.
        seconds: that the run took.
        times: where they went.
    """

    blocks: int
    done: int
    pixels: int
    damaged: tuple[str, ...]
    failed: Mapping[BlockId, str]
    exit_code: int
    finished: Finished | None
    seconds: float
    times: Times


def run_mosaic(
    names: Sequence[str],
    out: Path,
    options: MosaicOptions,
    executor: Executor,
    how: RunOptions,
    progress: Progress,
) -> MosaicResult:
    """Do a mosaic, or what is left of it, and write its outputs.

    Args:
        names: see `inputs.list_inputs`.
        out: folder of the mosaic.
        options: what decides the result.
        executor: where blocks are done; the caller closes it.
        how: what decides how the run goes.
        progress: told of every stage.

    Raises:
        BuildextError: the run cannot begin, or cannot go on.
    """
    start = time.perf_counter()
    times = Times()
    make_folder(out)
    with open_ledger(out) as ledger:
        with times.during("plan"):
            known = [n if is_remote(n) else str(Path(n).absolute()) for n in names]
            ledger.set_fact("names", known)
            ledger.set_fact("options", options.to_json())
            prepared = prepare(ledger, out, names, options, progress)
            if how.fail_fast:
                _refuse_damage(ledger)
            sweep(out)
            run = _Run(ledger, out, prepared, executor, how, progress, times)
            run.begin()
        run.go()
        with times.during("merge"):
            finished = _finish(ledger, out, run, options, progress)
        if run.count or finished is not None:
            ledger.set_fact("times", times.to_json())
        rows = ledger.tasks()
        return MosaicResult(
            blocks=len(prepared.plan.blocks),
            done=run.count,
            pixels=sum(row.valid_px for row in rows.values()),
            damaged=tuple(row.note for row in ledger.sources() if row.state == "damaged"),
            failed=run.failed,
            exit_code=run.exit_code,
            finished=finished,
            seconds=time.perf_counter() - start,
            times=times,
        )


def make_folder(out: Path) -> None:
    """Make the folder of a mosaic, or see that it is one.

    Raises:
        OutputExistsError: it holds other things.
        NotWritableError: it cannot be made.
    """
    ours = {LOCK, NAME, *(f"{NAME}-{kind}" for kind in ("journal", "wal", "shm"))}
    if out.is_dir() and (there := {p.name for p in out.iterdir()}) - ours and NAME not in there:
        raise OutputExistsError(
            f"the folder {out} exists and is no mosaic; expected a new or an empty one",
            hint="choose another name",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritableError(
            f"the folder {out} cannot be made ({error})", hint="choose another output"
        ) from error


def sweep(out: Path) -> None:
    """Remove what a killed run left unfinished, which has names that begin with a dot."""
    for folder in (out / RASTERS, out / FOOTPRINTS):
        for path in folder.glob(".*"):
            path.unlink(missing_ok=True)


def _refuse_damage(ledger: Ledger) -> None:
    for row in ledger.sources():
        if row.state == "damaged":
            raise SceneError(row.note, hint="mend or remove the file, or go on without --fail-fast")


class _Run:
    """The loop, with what it has to remember.

    Attributes:
        prepared: plan and options; what is left out grows as damage is met.
        times: where the time goes.
        count: tasks that were done.
        failed: blocks that were given up, and why.
        exit_code: of the first of them.
    """

    def __init__(
        self,
        ledger: Ledger,
        out: Path,
        prepared: Prepared,
        executor: Executor,
        how: RunOptions,
        progress: Progress,
        times: Times,
    ) -> None:
        self._ledger, self._out, self.prepared = ledger, out.absolute(), prepared
        self._executor, self._how, self._progress, self.times = executor, how, progress, times
        self.count = 0
        self.failed: dict[BlockId, str] = {}
        self.exit_code = 0
        self._attempts: dict[Task, int] = {}
        self._flying = 0
        rows = ledger.tasks()
        planned = prepared.plan.blocks
        # Blocks on which no file lies any more are done once more, to remove what they left.
        self._dropped = sorted({block for block, _ in rows if block not in planned})
        self._blocks = sorted({*planned, *self._dropped})
        self._board = Board(
            self._keys(),
            digest(asdict(prepared.outline)),
            {task: row.key for task, row in rows.items() if _stands(self._out, row)},
            {row.block: _read(row.details) for row in rows.values() if row.stage == FOOTPRINTS},
        )

    def begin(self) -> None:
        """Write down what is to be done, and remove what is out of date."""
        tasks = self._board.open_tasks()
        self._ledger.wait_for(tasks)
        for block, stage, _ in tasks:
            if stage == PROBABILITY:
                # Outlines may look farther than their neighbours: let them find nothing outdated.
                self._remove_rasters(block)
        left = len({block for block, _, _ in tasks})
        self._progress.note(f"{len(self._blocks)} blocks, of which {left} are to be done")
        self._progress.start("blocks", sum(self._cost((block, stage)) for block, stage, _ in tasks))

    def go(self) -> None:
        """Do all that can be done: round after round of handing out and taking back.

        Raises:
            BuildextError: the run cannot go on, or the user does not wish it to.
        """
        while True:
            with self.times.during("blocks"):
                room = self._executor.capacity() - self._flying
            with self.times.during("ledger"):
                works = self._next(room)
                self._ledger.commit()
            with self.times.during("blocks"):
                for work in works:
                    self._executor.submit(work)
                self._flying += len(works)
                if not self._flying:
                    break
                ended = self._executor.wait()
            with self.times.during("ledger"):
                for one in ended:
                    self._flying -= 1
                    self._take_back(one)
        self._progress.finish()
        self._ledger.forget([b for b in self._dropped if b not in self.failed])

    def _next(self, room: int) -> list[Work]:
        works: list[Work] = []
        while len(works) < room and (taken := self._board.take()) is not None:
            task, _ = taken
            self._ledger.begin(*task)
            works.append(self._work(task))
        return works

    def _work(self, task: Task) -> Work:
        block, stage = task
        plan = self.prepared.plan
        name = f"{stage}-{block.name}"
        if stage == PROBABILITY:
            job = plan.job(self._out, block, self.prepared.without, self._executor.threads)
            return Work(task, name, predict_block, (job,), heavy=True)
        args = (self._out, plan.grid, block, self.prepared.outline)
        return Work(task, name, outline_block, args, heavy=False)

    def _take_back(self, ended: Ended) -> None:
        task: Task = ended.tag
        if ended.outcome is not None:
            self._done(task, ended.outcome)
            return
        error = ended.error
        assert error is not None  # it is one or the other
        if not isinstance(error, Exception) or isinstance(error, _FATAL):
            raise error
        attempts = self._attempts[task] = self._attempts.get(task, 0) + 1
        last = attempts >= self._how.attempts
        if isinstance(error, DamagedSceneError) and self._is_source(error):
            # What a network did not deliver may come the next time.
            if last or not is_remote(error.file):
                self._leave_out(task, error)
                return
        elif isinstance(error, BuildextError) and error.exit_code != 5:
            last = True
        log.info("%s %s: attempt %d: %s", *task, attempts, error)
        self._ledger.failed(*task, str(error) or type(error).__name__, again=not last)
        if not last:
            self._board.again(task)
            return
        if self._how.fail_fast:
            raise error
        self._give_up(task, error)

    def _done(self, task: Task, outcome: BlockOutcome) -> None:
        block, stage = task
        if outcome.worker != worker_name():
            # What this process does itself is counted with its own time.
            self.times.add("blocks", Span(0.0, outcome.cpu_s))
        key = self._board.end(task, _read(outcome.details))
        if key is None:
            return
        self._ledger.done(block, stage, key, outcome)
        self.count += 1
        self._progress.advance(self._cost(task))

    def _leave_out(self, task: Task, error: DamagedSceneError) -> None:
        """Go on without a file; blocks that were done with it are done again."""
        if self._how.fail_fast:
            raise error
        plan = self.prepared.plan
        number = next(file.number for file in plan.files if file.name == error.file)
        self._board.again(task)
        if number in self.prepared.without:
            return
        self._ledger.damaged(number, str(error))
        self._progress.note(f"left out: {error}")
        self.prepared = without_files(self.prepared, frozenset((number,)))
        self._board.rekey(self._keys())
        for block in plan.reading(number):
            self._attempts.pop((block, PROBABILITY), None)
        self._ledger.wait_for(self._board.open_tasks())

    def _give_up(self, task: Task, error: BaseException) -> None:
        block, stage = task
        self._board.give_up(task)
        self.failed[block] = f"{stage}: {error or type(error).__name__}"
        self.exit_code = self.exit_code or getattr(error, "exit_code", 1)
        self._progress.note(f"block {block} failed: {error}")
        if stage == PROBABILITY:
            self._remove_rasters(block)

    def _remove_rasters(self, block: BlockId) -> None:
        for path in (probability_path(self._out, block), source_path(self._out, block)):
            path.unlink(missing_ok=True)

    def _keys(self) -> dict[BlockId, str]:
        plan, without = self.prepared.plan, self.prepared.without
        return {block: plan.key(block, without) for block in self._blocks}

    def _is_source(self, error: DamagedSceneError) -> bool:
        return any(file.name == error.file for file in self.prepared.plan.files)

    def _cost(self, task: Task) -> float:
        """What a task takes, in megapixels for the network."""
        block, stage = task
        plan = self.prepared.plan
        cells = plan.cells(block, plan.of_block(block, self.prepared.without))
        pixels = 0 if cells is None else cells.window(plan.grid.tiles).pixels
        return pixels / 1e6 * (1 if stage == PROBABILITY else _OUTLINE_SHARE)


def _finish(
    ledger: Ledger,
    out: Path,
    run: _Run,
    options: MosaicOptions,
    progress: Progress,
) -> Finished | None:
    """Write the outputs, unless they are those of just these blocks already."""
    prepared = run.prepared
    tasks = ledger.tasks()
    blocks = block_rows(tasks)
    sources = ledger.sources()
    label = prepared.outline.label_kind
    key = digest(
        [
            [(row.block.name, row.stage, row.key, row.state) for row in tasks.values()],
            [(row.number, row.name, row.state) for row in sources],
            [options.formats, label, __version__],
        ]
    )
    if ledger.fact("finished") == key and not run.failed:
        return None
    if run.failed and not any(row.valid_px for row in blocks):
        # Nothing came of it, for a reason that the caller is told.
        return None
    ledger.set_fact("finished", None, firmly=True)
    settings = {
        "buildext": __version__,
        "label_kind": label,
        "model": {"name": prepared.card.name, "version": prepared.card.version},
        "gsd_m": prepared.plan.grid.gsd_m,
        "options": options.lasting(),
        "stretches": {
            group: stretch.describe() for group, stretch in prepared.plan.stretches.items()
        },
    }
    finished = finish(
        out,
        prepared.plan.grid,
        blocks,
        sources,
        settings,
        options.formats,
        progress,
        failed=run.failed,
        times=run.times,
    )
    ledger.set_fact("finished", key)
    return finished


def block_rows(tasks: Mapping[Task, TaskRow]) -> list[BlockRow]:
    """The blocks of which both stages are done, row by row."""
    rows = []
    for (block, stage), first in tasks.items():
        second = tasks.get((block, FOOTPRINTS))
        if stage != PROBABILITY or second is None or {first.state, second.state} != {"done"}:
            continue
        rows.append(
            BlockRow(
                block,
                first.valid_px,
                second.buildings,
                first.seconds,
                second.seconds,
                second.details,
            )
        )
    return sorted(rows, key=lambda row: row.block)


def _stands(out: Path, row: TaskRow) -> bool:
    """Whether what a row says is done is there."""
    if row.state != "done":
        return False
    if row.stage == FOOTPRINTS:
        return not row.buildings or footprints_path(out, row.block).exists()
    if not row.valid_px:
        return True
    return probability_path(out, row.block).exists() and source_path(out, row.block).exists()


def _read(details: Mapping[str, Any]) -> list[BlockId]:
    """The blocks that the footprints of a block looked at."""
    return [BlockId.parse(name) for name in details.get("read", ())]
