"""`buildext` as a process of its own: for what only a process has, signals, limits, imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from tests.real import ROOT

PATIENCE_S = 120
"""Longer than anything takes on a busy machine."""


def environment(**extra: str) -> dict[str, str]:
    """The environment of this process, from which the package in this checkout is found."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **extra}


def python(code: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh interpreter; raises on a non-zero exit."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env or environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )


def start(*args: object, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `buildext ARGS` with pipes on all three streams."""
    return subprocess.Popen(
        [sys.executable, "-m", "buildext", *map(str, args)],
        env=env or environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have started the test suite in the background, deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end; exit code and what was still to be read of stdout and stderr."""
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Events of `--progress json` as they come."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def wait_until_in_mid_run(process: subprocess.Popen[str]) -> None:
    """Return once some, but not all, of the scene is done."""
    for event in events(process):
        if event["event"] == "progress" and 0 < event["done"] < event["total"] / 2:
            return
    raise AssertionError(f"the run ended before its middle: {finish(process)}")
