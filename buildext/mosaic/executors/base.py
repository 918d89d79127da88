"""The protocol of an executor: work is handed in, outcomes come back in any order.

An executor says how much it will take at a time (`capacity`), so that a plan of a hundred thousand
blocks is never in flight at once. It knows nothing of blocks, and decides nothing about what comes
of an error: it hands it back. A worker that dies is an error of the work that it was doing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from buildext.mosaic.rows import BlockOutcome


@dataclass(frozen=True, slots=True)
class Work:
    """A call to be made somewhere.

    Attributes:
        tag: the caller's own name for it.
        name: short, for people who look at a dashboard.
        function: of a module that workers can import.
        args: plain values that can be sent.
        heavy: it runs the network, and is for workers that can.
    """

    tag: Any
    name: str
    function: Callable[..., BlockOutcome]
    args: tuple[Any, ...]
    heavy: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a call: an outcome or an error."""

    tag: Any
    outcome: BlockOutcome | None
    error: BaseException | None


class Executor(Protocol):
    """A place where work is done.

    Attributes:
        threads: CPU threads that one piece of work may take.
        description: for the user.
    """

    threads: int
    description: str

    def capacity(self) -> int:
        """How much may be in flight now."""

    def submit(self, work: Work) -> None:
        """Hand in work; at most `capacity` at a time."""

    def wait(self) -> list[Ended]:
        """Wait until something in flight has ended; may come back early with nothing.

        Raises:
            ResourceError: nothing can be done here any more.
        """

    def close(self) -> None:
        """Stop everything that is in flight, and let go of the workers."""
