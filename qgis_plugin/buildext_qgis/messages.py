"""A message in QGIS's bar with a button that does something."""

from __future__ import annotations

from typing import Any, Callable

from qgis.core import Qgis
from qgis.gui import QgsMessageBar
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QProgressBar, QPushButton


class Offer:
    """A message that offers one thing to do, until it is done, closed or taken back.

    Whoever makes one keeps it: its slots must live as long as the button.
    """

    def __init__(self, bar: QgsMessageBar, text: str, label: str, go: Callable[[], Any]) -> None:
        self._bar = bar
        self._go = go
        self._bar_of_progress: QProgressBar | None = None
        self._message = bar.createMessage("Buildext", text)
        self._message.destroyed.connect(self._forget)
        self.button = QPushButton(label)
        self.button.clicked.connect(self._pressed)
        self._message.layout().addWidget(self.button)
        bar.pushWidget(self._message, Qgis.MessageLevel.Info, 0)

    def show_progress(self, percent: float) -> None:
        """Show a bar of progress, from the first call on."""
        if self._message is None:
            return
        if self._bar_of_progress is None:
            self._bar_of_progress = QProgressBar()
            self._bar_of_progress.setMaximumWidth(200)
            self._message.layout().insertWidget(
                self._message.layout().indexOf(self.button), self._bar_of_progress
            )
        self._bar_of_progress.setValue(int(percent))

    def take_back(self) -> None:
        """Remove the message, where it is still shown."""
        if self._message is not None:
            self._bar.popWidget(self._message)

    def _pressed(self) -> None:
        # Not at once: the message owns the button, which must not go while it is being pressed.
        QTimer.singleShot(0, self._leave)

    def _leave(self) -> None:
        self.take_back()
        self._go()

    def _forget(self) -> None:
        self._message = None
