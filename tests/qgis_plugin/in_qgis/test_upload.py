"""What the plugin repository asks of an upload, run on the zip or the tree that the tests use."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.qgis_plugin.in_qgis import support

PLUGIN = support.PLUGINS / "buildext_qgis"


def tool(name: str) -> None:
    """Skip, or fail where QGIS is required, when a checker is not installed."""
    if importlib.util.find_spec(name) is None:
        if os.environ.get("BUILDEXT_REQUIRE_QGIS"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_zip_is_accepted_by_the_validator() -> None:
    archive = os.environ.get("BUILDEXT_PLUGIN_ZIP")
    if not archive:
        pytest.skip("BUILDEXT_PLUGIN_ZIP names no zip")
    checked = run(str(support.ROOT / "qgis_plugin" / "validate.py"), archive)
    assert checked.returncode == 0, checked.stdout


def test_bandit_finds_nothing() -> None:
    tool("bandit")
    checked = run("-m", "bandit", "-q", "-r", str(PLUGIN))
    assert checked.returncode == 0, checked.stdout


def test_there_are_no_secrets() -> None:
    tool("detect_secrets")
    # Outside the repository, whose ignored files it would leave out; the wheel is no text.
    checked = run(
        "-m", "detect_secrets", "scan", "--all-files", "--exclude-files", r".*\.whl$", ".",
        cwd=PLUGIN,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert found["results"] == {}
    assert found["plugins_used"]
