"""Executors on this machine: the process itself, or some processes beside it.

Each worker process is a pool of one from `concurrent.futures`: when one dies (the kernel kills what
takes too much memory), it is known whose work it died of, and only that has to be done again. The
processes are spawned, since a forked one would inherit an engine's threads without the threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection

from buildext.errors import UsageError, WorkerLostError
from buildext.mosaic.executors.base import Ended, Work
from buildext.mosaic.rows import BlockOutcome


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InProcess:
    """Does one thing after the other, here."""

    threads = 0
    description = "this process"

    def __init__(self) -> None:
        self._waiting: list[Work] = []

    def capacity(self) -> int:
        """One."""
        return 1

    def submit(self, work: Work) -> None:
        """Keep the work until it is waited for."""
        self._waiting.append(work)

    def wait(self) -> list[Ended]:
        """Do the work."""
        work = self._waiting.pop(0)
        try:
            return [Ended(work.tag, work.function(*work.args), None)]
        except Exception as error:  # handed to the caller, whatever it is
            return [Ended(work.tag, None, error)]

    def close(self) -> None:
        """Nothing to stop."""
        self._waiting.clear()


class Processes:
    """Some processes on this machine, which share its cores evenly."""

    def __init__(self, workers: int) -> None:
        """`workers`: number of processes.

        Raises:
            UsageError: there is to be none.
        """
        if workers < 1:
            raise UsageError(f"got {workers} workers; expected at least 1")
        self.threads = max(1, cores() // workers)
        self.description = f"{workers} processes of {self.threads} threads"
        self._context = multiprocessing.get_context("spawn")
        # The workers hold the reading end: when this process closes the other, or is gone, they go.
        self._leash_end, self._leash = self._context.Pipe(duplex=False)
        self._free = [self._new_pool() for _ in range(workers)]
        self._busy: dict[Future[BlockOutcome], tuple[ProcessPoolExecutor, Work]] = {}

    def capacity(self) -> int:
        """One piece of work for each process."""
        return len(self._free) + len(self._busy)

    def submit(self, work: Work) -> None:
        """Hand the work to a free process."""
        pool = self._free.pop()
        try:
            future = pool.submit(work.function, *work.args)
        except BrokenProcessPool:
            # It died while it had nothing to do.
            pool = self._new_pool()
            future = pool.submit(work.function, *work.args)
        self._busy[future] = (pool, work)

    def wait(self) -> list[Ended]:
        """Wait for the first process that has ended its work, or died of it."""
        ended = []
        for future in wait(self._busy, return_when=FIRST_COMPLETED).done:
            pool, work = self._busy.pop(future)
            error: BaseException | None = future.exception()
            if isinstance(error, BrokenProcessPool):
                pool.shutdown(wait=False)
                pool = self._new_pool()
                error = WorkerLostError(
                    f"the process that did {work.name} was killed or crashed",
                    hint="was there enough memory? try fewer --workers",
                )
            self._free.append(pool)
            ended.append(Ended(work.tag, None if error else future.result(), error))
        return ended

    def close(self) -> None:
        """End all processes at once; outputs in the making have temporary names."""
        self._leash.close()
        for pool in (*self._free, *(pool for pool, _ in self._busy.values())):
            pool.shutdown(wait=True, cancel_futures=True)
        self._busy.clear()
        self._leash_end.close()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, mp_context=self._context, initializer=_begin, initargs=(self._leash_end,)
        )


def _begin(leash: Connection) -> None:
    """Set up a worker process: it ends with its parent, and leaves to it what a group is sent."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def follow() -> None:
        # Nothing is ever sent: this returns when the other end is closed, by hand or by death.
        leash.poll(None)
        os._exit(1)

    threading.Thread(target=follow, name="buildext-leash", daemon=True).start()
