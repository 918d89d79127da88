"""Progress: one protocol and its three faces.

The library reports progress to whatever it is handed; it never prints. A terminal gets a bar with
an ETA (`RichProgress`), another program gets one JSON object a line (`JsonProgress`), everybody
else gets silence (`SilentProgress`).
"""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID


class Progress(Protocol):
    """Receiver of progress: one stage at a time, each with a total in the stage's own unit."""

    def start(self, stage: str, total: float) -> None:
        """Begin a stage; an open one is finished first."""

    def advance(self, amount: float = 1.0) -> None:
        """Add to what is done of the current stage."""

    def finish(self) -> None:
        """End the current stage."""

    def note(self, text: str) -> None:
        """Tell the user one line that is not progress."""


class SilentProgress:
    """Says nothing."""

    def start(self, stage: str, total: float) -> None:
        """Ignore a new stage."""

    def advance(self, amount: float = 1.0) -> None:
        """Ignore an advance."""

    def finish(self) -> None:
        """Ignore the end of a stage."""

    def note(self, text: str) -> None:
        """Ignore a note."""


class JsonProgress:
    """Writes one JSON object a line, flushed at once, for a program that reads along.

    Advances smaller than half a percent of the total are gathered, so that a long run does not
    flood its reader.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._stage = ""
        self._total = 0.0
        self._done = 0.0
        self._told = 0.0

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event line."""
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.flush()

    def start(self, stage: str, total: float) -> None:
        """Begin a stage and tell its total."""
        self._stage, self._total, self._done, self._told = stage, total, 0.0, 0.0
        self._tell()

    def advance(self, amount: float = 1.0) -> None:
        """Add to what is done; told when it is worth a line."""
        self._done = min(self._done + amount, self._total)
        if self._done - self._told >= 0.005 * self._total:
            self._tell()

    def finish(self) -> None:
        """Tell that the stage is complete."""
        if self._done > self._told:
            self._tell()

    def note(self, text: str) -> None:
        """Write a note event."""
        self.emit("note", message=text)

    def _tell(self) -> None:
        self._told = self._done
        self.emit("progress", done=self._done, total=self._total, stage=self._stage)


class RichProgress:
    """Shows a bar with speed and ETA on a terminal; plain lines where there is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichBar | None = None
        self._task: TaskID | None = None

    def start(self, stage: str, total: float) -> None:
        """Show a new bar."""
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichBar

        self.finish()
        self._bar = RichBar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._bar.start()
        self._task = self._bar.add_task(stage, total=total)

    def advance(self, amount: float = 1.0) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, amount)

    def finish(self) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
