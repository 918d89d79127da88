"""Open datasets: each thread keeps the few that it used last.

An open dataset is not free: GDAL keeps buffers of the largest window that was read from it, and a
warped or rescaled view keeps several. A city is thousands of files in hundreds of planes, so the
number that may be open belongs to all planes that are read together, not to each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildext.errors import SceneError

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.vrt import WarpedVRT

# A strip of a block crosses about 80 files in a city of files of 1 000 px: with fewer, each is
# opened anew for each strip (16 take four times as long).
_PER_THREAD = 96


@dataclass(frozen=True, slots=True)
class Handle:
    """An open dataset, and what has to be closed with it."""

    stack: ExitStack
    dataset: DatasetReader | WarpedVRT


class Handles:
    """Opens datasets, and closes the one used longest ago when a thread has too many."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: dict[int, Handle] = {}
        self._closed = False

    def __len__(self) -> int:
        """How many are open, in all threads."""
        return len(self._open)

    def get(self, key: Hashable, opened: Callable[[], Handle]) -> DatasetReader | WarpedVRT:
        """This thread's dataset of that key, made by `opened` where it has none.

        Raises:
            SceneError: they are closed; or what `opened` raises.
        """
        if self._closed:
            raise SceneError("the scene is closed; expected reads before that")
        mine: OrderedDict[Hashable, Handle] | None = getattr(self._local, "handles", None)
        if mine is None:
            mine = self._local.handles = OrderedDict()
        if key in mine:
            mine.move_to_end(key)
            return mine[key].dataset
        handle = opened()
        mine[key] = handle
        with self._lock:
            self._open[id(handle)] = handle
            if len(mine) > _PER_THREAD:
                _, oldest = mine.popitem(last=False)
                del self._open[id(oldest)]
                oldest.stack.close()
        return handle.dataset

    def close(self) -> None:
        """Close the datasets of all threads; no thread may be reading."""
        with self._lock:
            self._closed = True
            for handle in self._open.values():
                handle.stack.close()
            self._open.clear()
