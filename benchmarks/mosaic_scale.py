"""A country on 1 to 256 workers, simulated: where does a mosaic stop scaling?

    python -m benchmarks.mosaic_scale --measure      # costs of the coordinator here, as JSON
    python -m benchmarks.mosaic_scale [--costs FILE] [--ledger OUT] [--faster 20] …

Nobody has 1 000 gigapixels and 256 workers at hand, but the parts can be measured: what a block
takes (`--ledger` takes it from a mosaic that was run), what the coordinating process takes for a
task, what a building takes in the merge. The simulation plays these costs through, event by event,
in the order in which the board of a run hands out tasks:

- *workers* compute, one block at a time, with the spread that was measured;
- the *coordinator* does one thing after the other: it hands out, takes back, writes its ledger. It
  hands out ahead of the workers, as the Dask executor does;
- the *storage* that all share delivers what is asked for in the order of asking, at a given rate,
  and to one worker no faster than a given rate;
- the *merge* comes at the end, in one process.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from buildext.mosaic.executors.base import Work
from buildext.mosaic.grid import FIRST_BLOCK, BlockId, neighbours
from buildext.mosaic.ledger import FOOTPRINTS, NAME, PROBABILITY, open_ledger, read_ledger
from buildext.mosaic.rows import BlockOutcome
from buildext.mosaic.schedule import Board, Task

COSTS = Path(__file__).parent / "mosaic_costs.json"
WORKERS = (1, 4, 16, 64, 128, 256)
BLOCK_MP = 8192**2 / 1e6
# SQLite's page in its log with a header, and how it folds a log of so many pages into the file.
_FRAME_BYTES, _PAGES, _SYNCS = 4096 + 24, 1000, 2
AHEAD = 2  # tasks handed out for each worker, as in executors/dask.py


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take; seconds of one core, bytes, and rates.

    Attributes:
        network_s_per_mp: a worker, for a megapixel of probability.
        network_spread: standard deviation of it from block to block, as a share.
        outline_s_per_mp, outline_s_per_building: a worker, for outlines; both add up.
        outline_spread: likewise.
        task_s: the coordinator, to hand out a task and take it back, board and ledger.
        sync_s: until the disk has what it was given, when it is waited for.
        syncs_per_task: how often the ledger does, when its log is folded into its file.
        executor_s: the same for the executor and Dask's scheduler.
        executor_flying_s: more of it for each task that is in flight.
        read_bytes_per_px, write_bytes_per_px: imagery read, and rasters written, for a pixel.
        merge_s_per_building: by format.
        buildings_per_mp: of the country.
    """

    network_s_per_mp: float
    network_spread: float
    outline_s_per_mp: float
    outline_s_per_building: float
    outline_spread: float
    task_s: float
    sync_s: float
    syncs_per_task: float
    executor_s: float
    executor_flying_s: float
    read_bytes_per_px: float
    write_bytes_per_px: float
    merge_s_per_building: dict[str, float]
    buildings_per_mp: float


@dataclass(frozen=True, slots=True)
class Storage:
    """What is between the workers and the files; bytes in a second."""

    shared: float
    each: float


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a simulated run; shares are of the time until the last block was done."""

    workers: int
    blocks_s: float
    merge_s: float
    worker_share: float
    coordinator_share: float
    storage_share: float


def square(blocks: int) -> Board:
    """A board with a square of blocks, none of them done."""
    side = round(blocks**0.5)
    keys = {
        BlockId(FIRST_BLOCK + row, FIRST_BLOCK + col): f"{row} {col}"
        for row in range(side)
        for col in range(side)
    }
    return Board(keys, "outline", {}, {})


class Order:
    """The order of a `Board` in a run in which nothing fails, at a hundredth of its price.

    Footprints as soon as the nine probabilities are known that they wait for, before anything else;
    probabilities row by row.
    """

    def __init__(self, blocks: int) -> None:
        self._side = round(blocks**0.5)
        self._next = 0
        self._missing = [
            sum(1 for _ in self._around(place)) for place in range(self._side * self._side)
        ]
        self._ready: list[int] = []

    def _around(self, place: int) -> Iterator[int]:
        row, col = divmod(place, self._side)
        for r in range(max(0, row - 1), min(self._side, row + 2)):
            for c in range(max(0, col - 1), min(self._side, col + 2)):
                yield r * self._side + c

    def take(self) -> tuple[int, bool] | None:
        """A block, and whether its probability is wanted and not its footprints."""
        if self._ready:
            return heapq.heappop(self._ready), False
        if self._next < len(self._missing):
            self._next += 1
            return self._next - 1, True
        return None

    def end(self, place: int) -> None:
        """The probability of a block is known."""
        for other in self._around(place):
            self._missing[other] -= 1
            if not self._missing[other]:
                heapq.heappush(self._ready, other)


def check_order(blocks: int) -> None:
    """See that `Order` is the order of the real board, with some tasks in flight."""
    board, order = square(blocks), Order(blocks)
    side = round(blocks**0.5)
    flying: deque[tuple[Task, tuple[int, bool]]] = deque()
    while True:
        while len(flying) < 7 and (taken := board.take()) is not None:
            place = order.take()
            assert place is not None
            row, col = divmod(place[0], side)
            block = BlockId(FIRST_BLOCK + row, FIRST_BLOCK + col)
            assert taken[0] == (block, PROBABILITY if place[1] else FOOTPRINTS)
            flying.append((taken[0], place))
        if not flying:
            return
        task, (number, network) = flying.popleft()
        board.end(task, (task[0], *neighbours(task[0])) if task[1] == FOOTPRINTS else ())
        if network:
            order.end(number)


def play(gigapixels: float, workers: int, costs: Costs, storage: Storage) -> Played:
    """Simulate a run, without its merge event by event."""
    board = Order(round(gigapixels * 1e3 / BLOCK_MP))
    outline_s = costs.outline_s_per_mp + costs.outline_s_per_building * costs.buildings_per_mp
    draw = random.Random(0)
    order = count()
    events: list[tuple[float, int, str, tuple[int, bool]]] = []
    queued: deque[tuple[int, bool]] = deque()
    idle, flying = workers, 0
    coordinator_free = storage_free = now = 0.0
    busy = {"worker": 0.0, "coordinator": 0.0, "storage": 0.0}

    def coordinate(at: float) -> float:
        """Half of a task's work of the coordinator, as soon as it can be."""
        nonlocal coordinator_free
        needs = (costs.task_s + costs.executor_s + costs.executor_flying_s * flying) / 2
        needs += costs.sync_s * costs.syncs_per_task / 2
        coordinator_free = max(at, coordinator_free) + needs
        busy["coordinator"] += needs
        return coordinator_free

    def transfer(at: float, size: float) -> float:
        nonlocal storage_free
        begins = max(at, storage_free)
        storage_free = begins + size / storage.shared
        busy["storage"] += size / storage.shared
        return max(storage_free, at + size / storage.each)

    def hand_out(at: float) -> None:
        nonlocal flying
        while flying < AHEAD * workers and (taken := board.take()) is not None:
            flying += 1
            heapq.heappush(events, (coordinate(at), next(order), "arrives", taken))

    def begin(at: float) -> None:
        nonlocal idle
        while idle and queued:
            idle -= 1
            task = queued.popleft()
            network = task[1]
            size = costs.read_bytes_per_px if network else 2 * costs.write_bytes_per_px
            per_mp = costs.network_s_per_mp if network else outline_s
            spread = costs.network_spread if network else costs.outline_spread
            takes = per_mp * BLOCK_MP * max(0.1, draw.gauss(1, spread))
            busy["worker"] += takes
            done = transfer(at, size * BLOCK_MP * 1e6) + takes
            heapq.heappush(events, (done, next(order), "computed", task))

    hand_out(0.0)
    while events:
        now, _, what, task = heapq.heappop(events)
        if what == "arrives":
            queued.append(task)
            begin(now)
        elif what == "computed":
            size = costs.write_bytes_per_px * BLOCK_MP * 1e6 if task[1] else 0.0
            heapq.heappush(events, (transfer(now, size), next(order), "written", task))
        elif what == "written":
            idle += 1
            begin(now)
            heapq.heappush(events, (coordinate(now), next(order), "known", task))
        else:
            flying -= 1
            if task[1]:
                board.end(task[0])
            hand_out(now)
    buildings = costs.buildings_per_mp * gigapixels * 1e3
    return Played(
        workers,
        now,
        buildings * sum(costs.merge_s_per_building.values()),
        busy["worker"] / now / workers,
        busy["coordinator"] / now,
        busy["storage"] / now,
    )


def from_ledger(out: Path, costs: Costs) -> Costs:
    """The costs of blocks as a mosaic that was run has them, with one thread a worker."""
    with read_ledger(out) as ledger:
        rows = [row for row in ledger.tasks().values() if row.state == "done"]
    valid_mp = {row.block: row.valid_px / 1e6 for row in rows if row.valid_px}
    network = [row for row in rows if row.stage == PROBABILITY and row.block in valid_mp]
    outline = [row for row in rows if row.stage == FOOTPRINTS and row.block in valid_mp]
    total_mp = sum(valid_mp[row.block] for row in network)
    per_mp = sum(row.seconds for row in network) / total_mp
    parts = np.array([(valid_mp[row.block], row.buildings) for row in outline])
    seconds = np.array([row.seconds for row in outline])
    (outline_mp, outline_building), *_ = np.linalg.lstsq(parts, seconds, rcond=None)
    sizes = sum(path.stat().st_size for path in (out / "probability").glob("*.tif"))
    return replace(
        costs,
        network_s_per_mp=per_mp,
        network_spread=_spread([row.seconds / valid_mp[row.block] / per_mp for row in network]),
        outline_s_per_mp=max(0.0, float(outline_mp)),
        outline_s_per_building=max(0.0, float(outline_building)),
        write_bytes_per_px=sizes / total_mp / 1e6,
        buildings_per_mp=sum(row.buildings for row in outline) / total_mp,
    )


def _spread(ratios: list[float]) -> float:
    return float(np.std(ratios))


def measure_task(blocks: int) -> tuple[float, float]:
    """Costs of a task to the coordinator: processor seconds of board and ledger, and syncs.

    The dearest case, one task in a round: one commit, for the end of the last and the beginning of
    the next.
    """
    with tempfile.TemporaryDirectory() as name, open_ledger(Path(name)) as ledger:
        board = square(blocks)
        ledger.wait_for(board.open_tasks())
        # The log is to grow, so that what is written can be read off.
        ledger._connection.execute("pragma wal_autocheckpoint = 0")
        log = Path(name) / f"{NAME}-wal"
        tasks, size = 0, log.stat().st_size
        start = time.process_time()
        while (taken := board.take()) is not None:
            task, _ = taken
            ledger.begin(*task)
            ledger.commit()
            read = [task[0], *neighbours(task[0])]
            key = board.end(task, read)
            assert key is not None
            details = {"read": [block.name for block in read], "groups": 1000, "area_m2": 1e5}
            ledger.done(*task, key, BlockOutcome(1000, 10**7, 1.0, "host:1", details))
            tasks += 1
        task_s = (time.process_time() - start) / tasks
        pages = (log.stat().st_size - size) / _FRAME_BYTES / tasks
        return task_s, _SYNCS * pages / _PAGES


def nothing() -> BlockOutcome:
    """What a worker does while only the way to it and back is measured."""
    return BlockOutcome(0, 0, 0.0)


def measure_executor(flying: int, tasks: int) -> float:
    """Processor seconds of this process, in which Dask's scheduler runs too, for a task."""
    from buildext.mosaic.executors.dask import DaskExecutor

    executor = DaskExecutor("local", workers=1)
    try:
        # Work from the scheduler's side; a worker needs no time for it.
        for number in range(flying):
            executor.submit(Work(number, "nothing", nothing, (), heavy=False))
        ended = len(executor.wait())
        start, first = time.process_time(), ended
        while ended < tasks:
            executor.submit(Work(ended, "nothing", nothing, (), heavy=False))
            ended += len(executor.wait())
        return (time.process_time() - start) / (ended - first)
    finally:
        executor.close()


def show(gigapixels: float, costs: Costs, storage: Storage, title: str) -> None:
    """One table for the page."""
    print(f"\n{title}\n")
    print("| workers | blocks, h | merge, h | speed-up | efficiency | coordinator | storage |")
    print("|---|---|---|---|---|---|---|")
    alone = None
    for workers in WORKERS:
        played = play(gigapixels, workers, costs, storage)
        whole = played.blocks_s + played.merge_s
        alone = alone or whole
        print(
            f"| {workers} | {played.blocks_s / 3600:.2f} | {played.merge_s / 3600:.2f} "
            f"| {alone / whole:.1f} | {100 * alone / whole / workers:.0f} % "
            f"| {100 * played.coordinator_share:.1f} % | {100 * played.storage_share:.1f} % |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigapixels", type=float, default=1000)
    parser.add_argument("--costs", type=Path, default=COSTS)
    parser.add_argument("--ledger", type=Path, help="folder of a mosaic that was run")
    parser.add_argument("--faster", type=float, default=1, help="a worker's network is so much so")
    parser.add_argument("--shared", type=float, default=1e9, help="storage, bytes/s for all")
    parser.add_argument("--each", type=float, default=2e8, help="storage, bytes/s for a worker")
    parser.add_argument("--sync", type=float, help="seconds until the disk has what it was given")
    parser.add_argument("--formats", default="parquet+gpkg")
    parser.add_argument("--measure", action="store_true")
    args = parser.parse_args()
    costs = Costs(**json.loads(args.costs.read_text())["costs"])
    if args.ledger:
        costs = from_ledger(args.ledger, costs)
    if args.measure:
        few, many = measure_executor(16, 300), measure_executor(512, 900)
        slope = max(0.0, (many - few) / (512 - 16))
        task_s, syncs = measure_task(900)
        found = replace(
            costs,
            task_s=task_s,
            syncs_per_task=syncs,
            executor_s=few - 16 * slope,
            executor_flying_s=slope,
        )
        print(json.dumps(asdict(found), indent=1))
        return
    check_order(400)
    if args.sync is not None:
        costs = replace(costs, sync_s=args.sync)
    chosen = args.formats.split(",")
    costs = replace(
        costs,
        network_s_per_mp=costs.network_s_per_mp / args.faster,
        merge_s_per_building={name: costs.merge_s_per_building[name] for name in chosen},
    )
    title = f"{args.gigapixels:g} GP, network × {args.faster:g}, {args.shared / 1e9:g} GB/s, "
    title += f"{1e3 * costs.sync_s:g} ms a sync"
    show(args.gigapixels, costs, Storage(args.shared, args.each), f"{title}, {args.formats}")


if __name__ == "__main__":
    main()
