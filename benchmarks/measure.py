"""Measuring a child process: wall clock, processor time and peak memory, as the kernel counts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used: seconds, core-seconds, and bytes at the peak."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str


def measure(arguments: list[str]) -> Usage:
    """Run `python ARGUMENTS` and measure it.

    Raises:
        RuntimeError: the process failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}:\n{output}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)
