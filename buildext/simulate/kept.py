"""Results that are kept for a while, each made once.

Neighbouring tiles are rendered by several threads at once and ask for the same squares of the world
in the same moment. `functools.lru_cache` would let each of them make its own; here the first one
makes it and the others wait. Of more than `size` results those that were not asked for the longest
are forgotten.

A maker may ask for results of other kinds, never in a circle: blocks of shadow are made of squares
as the sun sees them, these of squares, and squares of the ground plan.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """Calls `make` and keeps what it returned.

    Args:
        make: called with the key's parts.
        size: how many results are kept.
    """

    def __init__(self, make: Callable[..., Made], size: int) -> None:
        self._make, self._size = make, size
        self._lock = threading.Lock()
        self._results: OrderedDict[tuple[Hashable, ...], Future[Made]] = OrderedDict()

    def __call__(self, *key: Hashable) -> Made:
        """The result for a key; what `make` raises is raised for all who wait, and not kept."""
        with self._lock:
            result = self._results.get(key)
            mine = result is None
            if result is None:
                result = self._results[key] = Future()
            self._results.move_to_end(key)
            while len(self._results) > self._size:
                self._results.popitem(last=False)
        if mine:
            try:
                result.set_result(self._make(*key))
            except BaseException as error:
                with self._lock:
                    self._results.pop(key, None)
                result.set_exception(error)
                raise
        return result.result()
