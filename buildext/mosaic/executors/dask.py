"""An executor on a Dask cluster: blocks as futures of `dask.distributed`.

Dask moves work to workers, notices when one is lost and gives its work to another; what is done
here is to ask for little at a time. Workers need the package, the model and the same view of the
files as the coordinating process: a shared folder, or a store in the network.

Work that runs the network can be kept to workers that declare a resource: start those with
`dask worker … --resources "GPU=1"`.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from pathlib import Path
from typing import Any

from buildext.errors import ResourceError, UsageError, WorkerLostError
from buildext.mosaic.executors.base import Ended, Work
from buildext.mosaic.executors.local import cores

LOCAL = "local"
_PATIENCE_S = 60
# A worker that has ended a block finds the next one waiting.
_AHEAD = 2


class DaskExecutor:
    """A Dask cluster, one of our own or one that runs already."""

    def __init__(self, where: str, workers: int = 0, resource: str | None = None) -> None:
        """Connect, and wait for the first worker.

        Args:
            where: `local` starts a cluster on this machine; else the address of a scheduler
                (`tcp://…`) or the path of a scheduler file.
            workers: of a local cluster; 0 is one a core.
            resource: what a worker must have to run the network; None: nothing.

        Raises:
            UsageError: dask is not installed, or nobody answers there.
        """
        distributed = self._distributed = _dask()
        self._cluster: Any = None
        self._resource = resource
        self._numbers = itertools.count()
        self._flying: dict[Any, Work] = {}
        self.threads = 1
        if where == LOCAL:
            count = workers or cores()
            self.threads = max(1, cores() // count)
            self._cluster = distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                resources={resource: 1} if resource else None,
                silence_logs=50,
            )
        try:
            if self._cluster is not None:
                self._client = distributed.Client(self._cluster)
            elif Path(where).is_file():
                self._client = distributed.Client(scheduler_file=where, timeout=_PATIENCE_S)
            else:
                self._client = distributed.Client(where, timeout=_PATIENCE_S)
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except (OSError, ValueError, TimeoutError) as error:
            self.close()
            raise UsageError(
                f"no Dask worker answers at {where!r} ({error}); expected `local`, an address such "
                "as tcp://host:8786, or a scheduler file",
                hint="start `dask scheduler` and `dask worker` first",
            ) from error
        address = self._client.scheduler_info()["address"]
        self.description = f"Dask at {address}, {self.capacity() // _AHEAD} workers"

    def capacity(self) -> int:
        """Some for each thread of all workers that are there now."""
        threads: int = sum(self._client.nthreads().values())
        return max(1, _AHEAD * threads)

    def submit(self, work: Work) -> None:
        """Make a future of the work."""
        resources = {self._resource: 1} if self._resource and work.heavy else None
        future = self._client.submit(
            work.function,
            *work.args,
            key=f"{work.name}-{next(self._numbers)}",
            pure=False,
            resources=resources,
        )
        self._flying[future] = work

    def wait(self) -> list[Ended]:
        """Wait until a future has ended; nothing where its outcome was lost in the same moment."""
        try:
            done = self._distributed.wait(list(self._flying), return_when="FIRST_COMPLETED").done
        except Exception as broken:
            raise _no_scheduler() from broken
        ended = []
        for future in done:
            status = future.status
            if status in ("pending", "lost"):
                # The worker that held the outcome is gone; the scheduler has the work done again.
                continue
            work = self._flying.pop(future)
            if status == "finished":
                ended.append(Ended(work.tag, future.result(), None))
                continue
            if status != "error":
                raise _no_scheduler()
            error: BaseException = future.exception()
            if isinstance(error, self._distributed.scheduler.KilledWorker):
                error = WorkerLostError(
                    f"several workers were lost over {work.name}",
                    hint="was there enough memory? see the logs of the Dask workers",
                )
            ended.append(Ended(work.tag, None, error))
        return ended

    def close(self) -> None:
        """Cancel what is in flight; a cluster of our own ends, another one stays."""
        client = getattr(self, "_client", None)
        if client is not None:
            if self._flying:
                client.cancel(list(self._flying), force=True)
                self._flying.clear()
            client.close()
        if self._cluster is not None:
            self._cluster.close()


def _dask() -> Any:
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("dask is not installed", hint='pip install "buildext[dask]"')
    # By name: its types are too loose for the strictness of this package.
    return importlib.import_module("distributed")


def _no_scheduler() -> ResourceError:
    return ResourceError(
        "the connection to the Dask scheduler is gone",
        hint="run the same command again: what is done stays done",
    )
