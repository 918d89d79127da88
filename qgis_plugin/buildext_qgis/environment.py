"""The environment that buildext lives in: where Pythons are, what is installed, does it fit.

buildext has a folder of its own (a virtual environment) with its own Python packages. The plugin
only needs the Python in it. Which Python may make such an environment is decided here, by asking
each candidate itself: what a file is called says little.

This file knows nothing of QGIS.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess  # nosec B404  # asking a Python for its version means starting it
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .runner import clean_environment

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 13)
"""The oldest and the newest Python with which an environment was made and used."""

MARK = "buildext-qgis.json"
"""The file that tells an environment of the plugin from folders that belong to somebody else."""

_ASK_TIMEOUT_S = 30
_ASK_PYTHON = (
    "import json, sys, importlib.util as u;"
    "print(json.dumps({'version': sys.version_info[:3], 'prefix': sys.base_prefix,"
    "'complete': all(u.find_spec(m) for m in ('venv', 'ensurepip'))}))"
)
_ASK_PACKAGE = (
    "import json, sys, importlib.metadata as m\n"
    "try: version = m.version('buildext')\n"
    "except m.PackageNotFoundError: version = ''\n"
    "print(json.dumps({'python': '.'.join(map(str, sys.version_info[:3])), 'buildext': version}))"
)


class EnvironmentProblemError(Exception):
    """Raised when there is no environment that can be used; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Interpreter:
    """A Python that can make an environment.

    Attributes:
        path: its program.
        version: such as `(3, 11, 2)`.
    """

    path: Path
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        """How it is shown in a list."""
        return f"Python {'.'.join(map(str, self.version))} — {self.path}"


@dataclass(frozen=True)
class Installed:
    """What an environment holds.

    Attributes:
        python: its Python.
        python_version: such as `3.11.2`.
        buildext: version of buildext.
    """

    python: Path
    python_version: str
    buildext: str


def python_in(folder: Path) -> Path:
    """The Python of an environment's folder."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_complete(folder: Path) -> bool:
    """Whether the plugin's set-up of this folder came to a good end."""
    with contextlib.suppress(OSError, ValueError):
        mark = json.loads((folder / MARK).read_text("utf-8"))
        return bool(mark["complete"]) and python_in(folder).exists()
    return False


def mark(folder: Path, *, complete: bool) -> None:
    """Call a folder the plugin's own."""
    (folder / MARK).write_text(json.dumps({"complete": complete}) + "\n", "utf-8")


def look_into(folder: Path) -> Installed:
    """What is installed in an environment.

    Raises:
        EnvironmentProblemError: no Python there, or no buildext in it.
    """
    python = python_in(folder)
    if not python.exists():
        raise EnvironmentProblemError(
            f"got the folder {folder}, in which there is no {python.relative_to(folder)}",
            "choose the folder of a Python environment, or set one up",
        )
    said = _ask(python, _ASK_PACKAGE)
    if said is None:
        raise EnvironmentProblemError(
            f"{python} does not answer", "its Python may have been removed: set it up anew"
        )
    if not said["buildext"]:
        raise EnvironmentProblemError(
            f"buildext is not installed in {folder}", "choose another folder, or set one up"
        )
    return Installed(python, said["python"], said["buildext"])


def check_versions(plugin: str, package: str) -> None:
    """Plugin and package fit where their first two numbers are the same.

    Raises:
        EnvironmentProblemError: they differ.
    """
    if plugin.split(".")[:2] != package.split(".")[:2]:
        raise EnvironmentProblemError(
            f"the plugin is version {plugin}, but its environment holds buildext {package}",
            "open “Set up Buildext” and make the environment anew",
        )


def find_interpreters() -> list[Interpreter]:
    """Pythons on this machine that can make an environment, QGIS's own first."""
    found: dict[str, Interpreter] = {}
    for path in _candidates():
        said = _ask(path, _ASK_PYTHON)
        if said is None or not said["complete"] or tuple(said["version"][:2]) < OLDEST_PYTHON:
            continue
        # Several names may lead to one installation.
        found.setdefault(said["prefix"], Interpreter(path, tuple(said["version"])))
    return list(found.values())


def interpreter_at(path: Path) -> Interpreter:
    """The Python that the user points at.

    Raises:
        EnvironmentProblemError: it is none, too old, or lacks what makes environments.
    """
    said = _ask(path, _ASK_PYTHON)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if said is None:
        raise EnvironmentProblemError(f"{path} is not a Python that runs", "choose another file")
    version = ".".join(map(str, said["version"]))
    if tuple(said["version"][:2]) < OLDEST_PYTHON:
        raise EnvironmentProblemError(
            f"{path} is Python {version}; expected {oldest} or newer", "choose a newer Python"
        )
    if not said["complete"]:
        raise EnvironmentProblemError(
            f"{path} (Python {version}) lacks the modules venv and ensurepip",
            "on Debian and Ubuntu they are in the package python3-venv",
        )
    return Interpreter(path, tuple(said["version"]))


def _candidates() -> Iterator[Path]:
    """Files that may be a Python, each once."""
    seen = set()
    names = [f"python3.{minor}" for minor in range(NEWEST_PYTHON[1], OLDEST_PYTHON[1] - 1, -1)]
    own = [Path(sys.executable)] if Path(sys.executable).name.startswith("python") else []
    own += [Path(sys.exec_prefix) / name for name in ("python.exe", "bin/python3")]
    found = [shutil.which(name) for name in (*names, "python3", "python")]
    for path in (*own, *(Path(name) for name in found if name)):
        if path not in seen and path.is_file():
            seen.add(path)
            yield path


def _ask(python: Path, question: str) -> dict[str, Any] | None:
    """The JSON that a Python prints for `question`; None where it does not answer."""
    line: Sequence[str] = [str(python), "-I", "-c", question]
    no_window = 0
    if sys.platform == "win32":
        no_window = subprocess.CREATE_NO_WINDOW
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        answer = subprocess.run(  # nosec B603  # a list, no shell
            line,
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_ASK_TIMEOUT_S,
            env=clean_environment(os.environ),
            creationflags=no_window,
        )
        said = json.loads(answer.stdout)
        return said if isinstance(said, dict) else None
    return None
