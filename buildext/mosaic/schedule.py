"""What may be done next: the two stages of all blocks, and what waits for what.

A block's probability waits for nothing. Its footprints wait for the probability of the block itself
and of the eight around it; where a group of touching buildings reaches farther, `outline_block`
says which blocks it looked at, and those are waited for too.

Every task has a *key*, a hash of all that its result depends on. A task is done when its result was
made under the key that is wanted now. Keys may change while workers are busy, as when a file turns
out to be damaged: what comes back under an old key does not count and is done once more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from buildext.mosaic.grid import BlockId, neighbours
from buildext.mosaic.ledger import FOOTPRINTS, PROBABILITY, STAGES, Stage
from buildext.mosaic.plan import digest

Task: TypeAlias = tuple[BlockId, Stage]


class Board:
    """The state of all tasks while a mosaic is done."""

    def __init__(
        self,
        keys: Mapping[BlockId, str],
        outline_key: str,
        done: Mapping[Task, str],
        reach: Mapping[BlockId, Iterable[BlockId]],
    ) -> None:
        """Begin where an earlier run ended.

        Args:
            keys: of the probability of each block.
            outline_key: hash of what footprints depend on beside probabilities.
            done: keys under which tasks were done before.
            reach: blocks that the footprints of a block looked at then.
        """
        self._keys = dict(keys)
        self._outline_key = outline_key
        self._done = dict(done)
        self._reach = {
            block: frozenset((block, *neighbours(block), *reach.get(block, ()))) for block in keys
        }
        self._running: dict[Task, str] = {}
        self._given_up: set[Task] = set()
        # When each probability came in, and when each task was given out.
        self._clock = 0
        self._came: dict[BlockId, int] = {}
        self._left: dict[Task, int] = {}
        self._ready: list[tuple[bool, Task]] = []
        self._refill()

    def key(self, task: Task) -> str:
        """The key that is wanted now."""
        block, stage = task
        if stage == PROBABILITY:
            return self._keys[block]
        read = sorted(self._reach[block])
        return digest([self._outline_key, [(b.name, self._state(b)) for b in read]])

    def is_done(self, task: Task) -> bool:
        """Whether the result that is there is the one that is wanted."""
        return self._done.get(task) == self.key(task)

    def open_tasks(self) -> list[tuple[BlockId, Stage, str]]:
        """All tasks that are not done, with the keys that they will have as far as is known."""
        return [
            (block, stage, self.key((block, stage)))
            for block in self._keys
            for stage in STAGES
            if not self.is_done((block, stage)) and (block, stage) not in self._given_up
        ]

    def take(self) -> tuple[Task, str] | None:
        """A task to hand out, with its key; None where none can be done now."""
        while self._ready:
            _, task = heapq.heappop(self._ready)
            if self._is_ready(task):
                key = self._running[task] = self.key(task)
                self._left[task] = self._clock
                return task, key
        return None

    def end(self, task: Task, read: Iterable[BlockId] = ()) -> str | None:
        """A task came back well.

        Args:
            task: which.
            read: for footprints, all blocks that were looked at.

        Returns:
            The key under which it is done; None where it has to be done once more.
        """
        key = self._running.pop(task)
        block, stage = task
        if stage == PROBABILITY:
            if key == self._keys[block]:
                self._clock += 1
                self._came[block] = self._clock
                self._done[task] = key
                self._wake(block)
                return key
        else:
            farther = frozenset(read) - self._reach[block]
            current = key == self.key(task)
            self._reach[block] |= farther
            left = self._left[task]
            known = all(self._settled(b) and self._came.get(b, 0) <= left for b in farther)
            if current and known:
                self._done[task] = self.key(task)
                return self._done[task]
        self._offer(task)
        return None

    def again(self, task: Task) -> None:
        """A task came back badly, and may be tried again."""
        del self._running[task]
        self._offer(task)

    def give_up(self, task: Task) -> None:
        """A task came back badly once too often; without probability a block has no data."""
        del self._running[task]
        self._given_up.add(task)
        block, stage = task
        if stage == PROBABILITY:
            self._clock += 1
            self._came[block] = self._clock
            self._wake(block)

    def rekey(self, keys: Mapping[BlockId, str]) -> None:
        """Some probabilities depend on other things than was thought."""
        for block, key in keys.items():
            if key != self._keys[block]:
                self._given_up -= {(block, PROBABILITY), (block, FOOTPRINTS)}
            self._keys[block] = key
        self._refill()

    def _refill(self) -> None:
        self._ready = []
        self._readers: dict[BlockId, set[BlockId]] = {}
        for block, reach in self._reach.items():
            for other in reach:
                self._readers.setdefault(other, set()).add(block)
        for block in self._keys:
            self._offer((block, PROBABILITY))
            self._offer((block, FOOTPRINTS))

    def _offer(self, task: Task) -> None:
        if self._is_ready(task):
            block, stage = task
            # Footprints first: what a block needs is then still in the disk's cache.
            heapq.heappush(self._ready, (stage == PROBABILITY, (block, stage)))
        elif task[1] == FOOTPRINTS:
            for other in self._reach[task[0]]:
                self._readers.setdefault(other, set()).add(task[0])

    def _wake(self, block: BlockId) -> None:
        """Offer the footprints that may have waited for a probability."""
        for reader in self._readers.get(block, ()):
            self._offer((reader, FOOTPRINTS))

    def _is_ready(self, task: Task) -> bool:
        if task in self._running or task in self._given_up or self.is_done(task):
            return False
        block, stage = task
        return stage == PROBABILITY or all(self._settled(b) for b in self._reach[block])

    def _settled(self, block: BlockId) -> bool:
        """Whether the probability of a block, or that there is none, is known."""
        task: Task = (block, PROBABILITY)
        return (
            block not in self._keys
            or task in self._given_up
            or self._done.get(task) == self._keys[block]
        )

    def _state(self, block: BlockId) -> str:
        if (block, PROBABILITY) in self._given_up:
            return "failed"
        return self._keys.get(block, "")
