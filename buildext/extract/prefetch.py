"""Prefetching: run an iterator in a thread of its own, a bounded number of items ahead.

The pipeline is a chain of iterators that pull on each other. Putting a prefetch between two of them
lets both sides work at once, and changes neither. The bound keeps a fast producer from filling the
memory; an exception of the producer is raised at the consumer; a consumer that stops early stops
the producer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
_POLL_S = 0.1


class _End:
    """Marks the producer's end, with the exception that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterable[Item], ahead: int, name: str) -> Generator[Item, None, None]:
    """Iterate `items` in a thread, at most `ahead` items before the consumer.

    Args:
        items: the producer; if it is a generator it is closed when the consumer stops.
        ahead: number of finished items that may wait.
        name: name of the thread, for debuggers.

    Yields:
        The items in order.
    """
    ready: queue.Queue[Item | _End] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        end = _End()
        try:
            for item in items:
                if not put(item):
                    break
        except BaseException as error:  # handed to the consumer, whatever it is
            end = _End(error)
        finally:
            if isinstance(items, Generator):
                items.close()
        put(end)

    thread = threading.Thread(target=produce, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join()
