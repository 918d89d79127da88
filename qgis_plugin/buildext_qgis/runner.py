"""Run a program beside this one: read what it says, stop it when asked, leave nothing behind.

The program writes one JSON object a line to its standard output (`{"event": "progress", …}`); what
is not JSON, and all of its standard error, is text for a log. Two threads read the two pipes into
one queue, so the caller never blocks on a pipe and looks every tenth of a second whether the user
has cancelled.

How the program ends, whatever happens:

* **Cancel**: the whole process group gets a polite signal, and a rude one when that is not obeyed.
* **The caller dies** (QGIS crashes or is killed): the program's standard input, a pipe that the
  caller holds open, closes. `buildext --exit-with-parent` ends itself then.

This file knows nothing of QGIS and runs under any Python from 3.9 on.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess  # nosec B404  # starting one known program is what this file is for
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Callable

Event = dict[str, Any]

POLL_S = 0.1
GRACE_S = 10.0
# What QGIS sets for itself and what must not reach another Python with another GDAL.
FOREIGN_VARIABLES = frozenset(
    {
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
        "GDAL_DATA",
        "GDAL_DRIVER_PATH",
        "GDAL_PAM_PROXY_DIR",
        "PROJ_LIB",
        "PROJ_DATA",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "DYLD_FRAMEWORK_PATH",
        "QT_PLUGIN_PATH",
    }
)
_TEXT_KEPT = 20


class CancelledError(Exception):
    """Raised when the user cancelled; the program and its children have ended."""


class ToolError(Exception):
    """Raised when the program failed: its exit code, what it said, and what to do."""

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def clean_environment(
    base: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of `base` that may reach the program, and `extra`."""
    kept = {
        name: value
        for name, value in base.items()
        if name not in FOREIGN_VARIABLES and not name.startswith("PYTHON")
    }
    if sys.platform == "win32":
        # QGIS puts its own DLLs first on the path; the program must find its own.
        root = base.get("SYSTEMROOT", r"C:\Windows")
        kept["PATH"] = os.pathsep.join([rf"{root}\System32", root, rf"{root}\System32\Wbem"])
    kept.update(extra or {})
    return kept


def tool_command(python: Path, arguments: Sequence[str]) -> list[str]:
    """The line that runs `buildext` in the environment of `python`.

    `-I` keeps the user's site-packages and all PYTHON variables out, `-u` lets progress through at
    once, and `-X utf8` fixes the encoding on every system.
    """
    return [str(python), "-I", "-u", "-X", "utf8", "-m", "buildext", *arguments]


def run(
    command: Sequence[str],
    listen: Callable[[Event], None],
    is_cancelled: Callable[[], bool] = lambda: False,
    variables: Mapping[str, str] | None = None,
) -> Event:
    """Run a program to its end.

    Args:
        command: program and arguments; never a line for a shell.
        listen: gets each event as it comes; text comes as `{"event": "text", "message": line}`.
        is_cancelled: asked every tenth of a second.
        variables: variables on top of the cleaned ones of this process.

    Returns:
        The last `result` event, or an empty one.

    Raises:
        CancelledError: the user cancelled.
        ToolError: the program could not be started or failed.
    """
    result: Event = {}
    failure: Event = {}
    said: deque[str] = deque(maxlen=_TEXT_KEPT)
    with _started(command, variables) as process:
        for event in _events(process, is_cancelled):
            kind = event.get("event")
            if kind == "result":
                result = event
            elif kind == "error":
                failure = event
            elif kind == "text":
                said.append(event["message"])
            listen(event)
        code = process.wait()
    if failure:
        raise ToolError(code, str(failure.get("message", "")), str(failure.get("hint", "")))
    if code:
        raise ToolError(code, said[-1] if said else f"the program ended with exit code {code}")
    return result


@contextlib.contextmanager
def _started(
    command: Sequence[str], variables: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, started in a group of its own; ended and its pipes closed on the way out."""
    own_group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own_group = {
            "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        }
    try:
        process = subprocess.Popen(  # nosec B603  # a list, no shell, a program of our own choice
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(os.environ, variables),
            **own_group,
        )
    except OSError as error:
        raise ToolError(1, f"{command[0]} could not be started: {error}") from error
    try:
        yield process
    finally:
        _stop(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _events(process: subprocess.Popen[bytes], is_cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Events until both pipes are at their end.

    Raises:
        CancelledError: the user cancelled; the caller stops the program.
    """
    lines: queue.SimpleQueue[tuple[str, bytes | None]] = queue.SimpleQueue()
    for name, pipe in (("out", process.stdout), ("err", process.stderr)):
        threading.Thread(target=_read, args=(name, pipe, lines), daemon=True).start()
    is_open = {"out", "err"}
    while is_open:
        if is_cancelled():
            raise CancelledError
        try:
            name, line = lines.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line is None:
            is_open.remove(name)
            continue
        event = _parse(line.decode("utf-8", "replace").rstrip(), name == "out")
        if event:
            yield event


def _read(name: str, pipe: IO[bytes], lines: queue.SimpleQueue[tuple[str, bytes | None]]) -> None:
    """Put each line into the queue, and None at the end."""
    # A pipe that is closed under the reader, after a cancel, is an end like any other.
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put((name, line))
    lines.put((name, None))


def _parse(line: str, may_be_event: bool) -> Event:
    """An event, a text event for what is not JSON, nothing for an empty line."""
    if may_be_event and line.startswith("{"):
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                return event
    return {"event": "text", "message": line} if line.strip() else {}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children; nothing to do where it has ended."""
    if process.poll() is not None:
        return
    _signal_group(process, polite=True)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _signal_group(process, polite=False)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], *, polite: bool) -> None:
    """Tell the whole group to end; on Windows there is no polite way without a window."""
    if sys.platform == "win32":
        root = os.environ.get("SYSTEMROOT", r"C:\Windows")
        subprocess.run(  # nosec B603  # the system's own program by its full path
            [rf"{root}\System32\taskkill.exe", "/PID", str(process.pid), "/T", "/F"],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return
    # The program leads its group: the group's number is its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM if polite else signal.SIGKILL)
