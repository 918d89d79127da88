"""A stream: record batches handed one by one to a consumer that wants to pull them.

GDAL's Arrow interface takes a *reader* and pulls batches from it until it is exhausted, within one
long call. The pipeline wants the opposite, to push batches as buildings are found. So the consumer
runs in a thread of its own and pulls from a short queue: features reach the file while extraction
goes on, and memory holds a few batches whatever the number of features.

Errors cross in both directions: one of the consumer comes up at the next `put` or in `finish`;
`cancel` makes the consumer's next pull fail, so that it stops at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pyarrow as pa

QUEUED_BATCHES = 4
_LOOK_AFTER_S = 0.2


class CancelledError(Exception):
    """Raised inside the consumer's reader when nobody wants its output any more."""


class BatchStream:
    """Runs `consume(reader)` in a thread, fed by `put`.

    Args:
        schema: schema of the batches.
        consume: pulls everything from the reader that it is handed, then returns.
    """

    def __init__(self, schema: pa.Schema, consume: Callable[[pa.RecordBatchReader], None]) -> None:
        self._schema = schema
        self._consume = consume
        self._queue: queue.Queue[pa.RecordBatch | CancelledError | None] = queue.Queue(
            QUEUED_BATCHES
        )
        self._error: BaseException | None = None
        # A daemon: a process on its way out must not wait for a consumer that was never finished.
        self._thread = threading.Thread(target=self._run, name="feature-writer", daemon=True)
        self._thread.start()

    def put(self, batch: pa.RecordBatch) -> None:
        """Hand over a batch; waits while the queue is full.

        Raises:
            BaseException: what the consumer met.
        """
        self._offer(batch)

    def finish(self) -> None:
        """Say that no batch follows and wait until the consumer is done.

        Raises:
            BaseException: what the consumer met.
        """
        self._offer(None)
        self._thread.join()
        self._check()

    def cancel(self) -> None:
        """Stop the consumer and wait until it has let go of its file; its error does not matter."""
        while self._thread.is_alive():
            try:
                self._queue.put_nowait(CancelledError())
                break
            except queue.Full:
                self._discard_one()
        self._thread.join()

    def _discard_one(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return  # the consumer was quicker

    def _offer(self, item: pa.RecordBatch | None) -> None:
        while True:
            self._check()
            try:
                self._queue.put(item, timeout=_LOOK_AFTER_S)
                return
            except queue.Full:
                continue

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._consume(pa.RecordBatchReader.from_batches(self._schema, self._pull()))
        except BaseException as error:
            self._error = error

    def _pull(self) -> Iterator[pa.RecordBatch]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, CancelledError):
                raise item
            yield item
