"""Work that takes time, away from the thread that draws the windows."""

from __future__ import annotations

import threading
from typing import Any, Callable

from qgis.PyQt.QtCore import QThread, pyqtSignal


class Background(QThread):
    """Runs one function in a thread and tells of it by signals.

    The function gets `begin(step)`, `say(line)` and `is_cancelled()`; what it returns or raises
    arrives with `succeeded` or `failed` in the thread that made this object.
    """

    begun = pyqtSignal(str)
    said = pyqtSignal(str)
    succeeded = pyqtSignal(object)
    failed = pyqtSignal(object)

    def __init__(self, work: Callable[..., Any], parent=None) -> None:
        super().__init__(parent)
        self._work = work
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the work to end."""
        self._cancelled.set()

    def run(self):
        """Do the work; Qt calls this in the new thread."""
        try:
            result = self._work(self.begun.emit, self.said.emit, self._cancelled.is_set)
        except Exception as error:  # handed on to the thread that can show it
            self.failed.emit(error)
        else:
            self.succeeded.emit(result)
