"""Wherever blocks are done, and whatever happens to those who do them, the mosaic is the same."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from buildext.errors import BuildextError, UsageError, WorkerLostError
from buildext.mosaic.executors.base import Ended, Work
from buildext.mosaic.executors.dask import DaskExecutor
from buildext.mosaic.executors.local import Processes
from buildext.mosaic.ledger import read_ledger
from buildext.mosaic.options import RunOptions
from buildext.mosaic.rows import BlockOutcome
from tests.cli.process import PATIENCE_S, finish, start
from tests.mosaic import cities
from tests.mosaic.cities import Made, read, run

# What asyncio and Dask leave to be collected is not ours.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cities.write_city(tmp_path_factory.mktemp("city") / "in")


@pytest.fixture(scope="module")
def expected(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("expected") / "out"
    run(city, out)
    return read(out)


@dataclass
class Fatal:
    """Progress that, once some blocks are done, kills the process which did the last."""

    out: Path
    after: int = 2
    killed: list[int] = field(default_factory=list)
    done: int = 0

    def start(self, stage: str, total: float) -> None: ...

    def advance(self, amount: float = 1.0) -> None:
        self.done += 1
        if self.done < self.after or self.killed or not (self.out / "ledger.sqlite").exists():
            return
        with read_ledger(self.out) as ledger:
            workers = [row.worker for row in ledger.tasks().values() if row.worker]
        for worker in workers[-1:]:
            pid = int(worker.split(":")[1])
            self.killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    def finish(self) -> None: ...

    def note(self, text: str) -> None: ...


def workers_of(out: Path) -> set[str]:
    with read_ledger(out) as ledger:
        return {row.worker for row in ledger.tasks().values()}


def test_processes_of_which_one_is_killed(city: Path, expected: Made, tmp_path: Path) -> None:
    fatal = Fatal(tmp_path / "out")
    with contextlib.closing(Processes(2)) as executor:
        result = run(city, fatal.out, executor=executor, progress=fatal)
    assert fatal.killed and result.exit_code == 0
    assert len(workers_of(fatal.out)) >= 2
    assert os.getpid() not in {int(worker.split(":")[1]) for worker in workers_of(fatal.out)}
    assert read(fatal.out).same_as(expected)


@dataclass
class Cutting(Fatal):
    """Progress that kills a worker early, and cuts the connection of one in mid-block."""

    scheduler: Any = None
    cut: list[str] = field(default_factory=list)

    def advance(self, amount: float = 1.0) -> None:
        super().advance(amount)
        if self.done < 6 or self.cut:
            return
        busy = [w.address for w in self.scheduler.workers.values() if w.processing]
        if busy:
            self.cut.append(busy[0])
            self.scheduler.loop.add_callback(self.scheduler.stream_comms[busy[0]].abort)


def test_dask_of_which_workers_are_lost(
    city: Path, expected: Made, tmp_path: Path, loopback: None
) -> None:
    with contextlib.closing(DaskExecutor("local", 2, resource="NETWORK")) as executor:
        assert executor.capacity() == 4
        # Others may come by its address or by a scheduler file, and leave it as it is.
        scheduler_file = tmp_path / "scheduler.json"
        executor._client.write_scheduler_file(str(scheduler_file))
        for where in (executor._cluster.scheduler_address, str(scheduler_file)):
            with contextlib.closing(DaskExecutor(where)) as guest:
                guest.submit(Work("a", "a", live, (), heavy=True))
                (ended,) = guest.wait()
            assert ended.outcome is not None and ended.outcome.buildings == 3
        bad = Cutting(tmp_path / "out", scheduler=executor._cluster.scheduler)
        result = run(city, bad.out, executor=executor, progress=bad)
    assert bad.killed and bad.cut and result.exit_code == 0
    assert read(bad.out).same_as(expected)


def test_killed_at_any_moment_it_goes_on(city: Path, expected: Made, tmp_path: Path) -> None:
    """The coordinating process is killed early and late, with its workers at work."""
    out = tmp_path / "out"
    command = ("mosaic", city, "-o", out, *cities.FLAGS, "--workers", 2)
    for blocks in (2, 9):
        process = start(*command)
        try:
            wait_for(blocks, out, process)
            workers = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            process.communicate()
        assert workers
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive, "workers outlive the process that they work for"
    before = count_done(out)
    code, _, stderr = finish(start(*command))
    assert code == 0, stderr
    with read_ledger(out) as ledger:
        tasks = ledger.tasks()
    assert before >= 9 and {row.state for row in tasks.values()} == {"done"}
    assert read(out).same_as(expected)
    assert not list(out.rglob(".*.tif"))


def count_done(out: Path) -> int:
    try:
        with read_ledger(out) as ledger:
            return sum(row.state == "done" for row in ledger.tasks().values())
    except (BuildextError, OSError):
        return 0


def wait_for(blocks: int, out: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while count_done(out) < blocks and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)


def die() -> BlockOutcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def live() -> BlockOutcome:
    return BlockOutcome(3, 4, 0.5, str(os.getpid()))


def test_a_death_is_laid_to_the_work_that_died() -> None:
    ended: dict[str, Ended] = {}
    with contextlib.closing(Processes(2)) as executor:
        executor.submit(Work("dies", "dies", die, (), heavy=True))
        executor.submit(Work("lives", "lives", live, (), heavy=True))
        while len(ended) < 2:
            ended |= {one.tag: one for one in executor.wait()}
        executor.submit(Work("next", "next", live, (), heavy=True))
        ended |= {one.tag: one for one in executor.wait()}
    assert isinstance(ended["dies"].error, WorkerLostError)
    for tag in ("lives", "next"):
        outcome = ended[tag].outcome
        assert outcome is not None and outcome.buildings == 3
        assert int(outcome.worker) != os.getpid()


def test_a_block_that_always_kills_is_given_up(city: Path, tmp_path: Path) -> None:
    """The others are done, the layer is written, and the exit code says that it is not whole."""

    class Deadly(Processes):
        def submit(self, work: Work) -> None:
            deadly = work.name.startswith("probability-01001_01001")
            super().submit(replace(work, function=die, args=()) if deadly else work)

    out = tmp_path / "out"
    with contextlib.closing(Deadly(1)) as executor:
        result = run(city, out, executor=executor, how=RunOptions(attempts=2))
    assert [block.name for block in result.failed] == ["01001_01001"]
    assert result.exit_code == 5 and result.finished is not None
    assert "01001_01001" not in {block.name for block in read(out).probability}
    assert len(read(out).probability) >= 5


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:9", "nowhere"])
def test_a_cluster_that_is_not_there(
    where: str, loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildext.mosaic.executors.dask._PATIENCE_S", 1)
    with pytest.raises(UsageError, match="no Dask worker answers"):
        DaskExecutor(where)
