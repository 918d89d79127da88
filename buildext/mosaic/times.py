"""Where the time of a run goes: its four parts, by the clock and by the processor.

    plan    the survey of the files, the lattice, the blocks, the board
    ledger  the board and the ledger while the run lasts
    blocks  both stages of all blocks
    merge   one layer out of many blocks, and the pages about it

By the clock the parts are those of the coordinating process, which does one thing after the other:
`blocks` is the time for which it waits for workers, or works itself. By the processor, `blocks` are
the core-seconds of all workers, and what it took to hand work to them. So the share of everything
that is not imagery or buildings, the *overhead*, is a figure of each run. What little is left to
the whole run (starting, looking for what is done already) belongs to no part.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Part = Literal["plan", "ledger", "blocks", "merge"]
PARTS: tuple[Part, ...] = ("plan", "ledger", "blocks", "merge")


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds by the clock, and seconds of processor cores."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)

    @classmethod
    def now(cls) -> Span:
        """Both clocks; only differences mean anything. Threads of this process count together."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Span) -> Span:
        """What has passed."""
        return Span(self.wall_s - start.wall_s, self.cpu_s - start.cpu_s)


class Times:
    """The spans of one run, as they add up."""

    def __init__(self, spans: Mapping[Part, Span] | None = None) -> None:
        """`spans`: to begin with; parts that are missing took no time."""
        self.spans: dict[Part, Span] = {part: Span() for part in PARTS} | dict(spans or {})

    @contextlib.contextmanager
    def during(self, part: Part) -> Iterator[None]:
        """Count what the block takes, however it ends."""
        start = Span.now()
        try:
            yield
        finally:
            self.add(part, Span.now().since(start))

    def add(self, part: Part, span: Span) -> None:
        """Count a span."""
        self.spans[part] += span

    @property
    def total(self) -> Span:
        """All parts together."""
        return sum(self.spans.values(), Span())

    @property
    def overhead(self) -> Span:
        """Shares, 0 to 1, that everything but the blocks has in the whole."""
        total, blocks = self.total, self.spans["blocks"]
        wall = 1 - blocks.wall_s / total.wall_s if total.wall_s else 0.0
        return Span(wall, 1 - blocks.cpu_s / total.cpu_s if total.cpu_s else 0.0)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the ledger."""
        return {part: [span.wall_s, span.cpu_s] for part, span in self.spans.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Times:
        """What `to_json` gave."""
        return cls({part: Span(*values[part]) for part in PARTS if part in values})
