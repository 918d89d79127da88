"""The plugin's tests that need no QGIS are here; those that need it are in `in_qgis/`."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly that tests were skipped: a green line must not hide it."""
    if find_spec("qgis") is None or find_spec("qgis.core") is None:
        terminalreporter.write_line(
            "SKIPPED: all tests inside QGIS, which this Python does not have (make test-qgis)",
            yellow=True,
            bold=True,
        )
