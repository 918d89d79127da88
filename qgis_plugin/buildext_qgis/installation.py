"""Make an environment: a Python environment of its own, with the wheel that the plugin carries.

Three steps: make the environment, install buildext and what it depends on, ask it whether all is
there. The package itself comes with the plugin; what it depends on comes from the user's package
index, as pip is configured, or from a folder of wheels. Only wheels are taken: nothing is compiled,
and no code of a package runs while it is installed.

A folder of the plugin carries a mark (`environment.MARK`) from the beginning, and says in it when
the last step is done. A folder without it that is not empty belongs to somebody else and is never
touched; what a cancelled or failed set-up made is removed.

This file knows nothing of QGIS.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from .environment import (
    MARK,
    EnvironmentProblemError,
    Installed,
    Interpreter,
    look_into,
    mark,
    python_in,
)
from .runner import Event, run, tool_command

NEEDED_BYTES = 1_500_000_000
"""Room for the environment and for the wheels while they are unpacked."""

# pip has no way to end with its parent: this runs it below a thread that waits for stdin to close.
_UNDER_WATCH = """
import os, runpy, signal, sys, threading
def watch():
    while os.read(0, 4096):
        pass
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(143)
threading.Thread(target=watch, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Plan:
    """What to make, where, and from what.

    Attributes:
        interpreter: the Python that makes it.
        folder: the environment's folder.
        wheel: the file of buildext's wheel.
        offline: a folder of wheels that is used in place of an index.
        index: address of a package index; empty leaves the choice to pip's configuration.
        variables: variables for pip, such as those that name a proxy.
    """

    interpreter: Interpreter
    folder: Path
    wheel: Path
    offline: Path | None = None
    index: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def steps(self) -> list[tuple[str, list[str]]]:
        """Name and command of each step."""
        source = ["--index-url", self.index] if self.index else []
        if self.offline is not None:
            source = ["--no-index", "--find-links", str(self.offline)]
        pip = ["pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        # The extra draws the page of `evaluate`; it brings no torch either.
        wanted = ["--only-binary=:all:", *source, f"{self.wheel}[report]"]
        python = python_in(self.folder)
        return [
            ("environment", [*watched(self.interpreter.path), "venv", str(self.folder)]),
            ("packages", [*watched(python), *pip, *wanted]),
            ("check", tool_command(python, ["doctor"])),
        ]


def bundled_wheel(plugin_folder: Path) -> Path:
    """The wheel that the plugin carries.

    Raises:
        EnvironmentProblemError: this copy of the plugin carries none.
    """
    wheels = sorted((plugin_folder / "wheels").glob("buildext-*-py3-none-any.whl"))
    if not wheels:
        raise EnvironmentProblemError(
            "this copy of the plugin carries no wheel of buildext",
            "install the plugin from its zip (`make plugin`), or choose an existing environment",
        )
    return wheels[-1]


def check_plan(plan: Plan) -> None:
    """Refuse what cannot work, before anything is made.

    Raises:
        EnvironmentProblemError: the folder is in use for something else, the disk is too full, or
            the folder of wheels does not exist.
    """
    folder = plan.folder
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise EnvironmentProblemError(
            f"the folder {folder} holds something else", "choose an empty or a new folder"
        )
    if plan.offline is not None and not any(plan.offline.glob("*.whl")):
        raise EnvironmentProblemError(
            f"there are no wheels in {plan.offline}",
            "fill it with `pip download` on a machine with the same system and Python",
        )
    free = shutil.disk_usage(_existing(folder)).free
    if free < NEEDED_BYTES:
        raise EnvironmentProblemError(
            f"{free / 1e9:.1f} GB are free at {folder}; "
            f"expected {NEEDED_BYTES / 1e9:.1f} GB or more",
            "free some space or choose a folder on another disk",
        )


def install(
    plan: Plan,
    begin: Callable[[str], None],
    listen: Callable[[Event], None],
    is_cancelled: Callable[[], bool],
) -> Installed:
    """Carry out a plan.

    Args:
        plan: what to make.
        begin: gets the name of each step: `environment`, `packages`, `check`.
        listen: gets what the steps say, line by line.
        is_cancelled: asked all the time.

    Returns:
        What the new environment holds.

    Raises:
        EnvironmentProblemError: the plan cannot work.
        ToolError: a step failed.
        CancelledError: the user cancelled.
    """
    check_plan(plan)
    # An old environment is replaced as a whole: pip would leave packages that nobody needs.
    remove(plan.folder)
    plan.folder.mkdir(parents=True)
    mark(plan.folder, complete=False)
    try:
        for name, command in plan.steps():
            begin(name)
            run(command, listen, is_cancelled, plan.variables)
        installed = look_into(plan.folder)
    except BaseException:
        remove(plan.folder)
        raise
    mark(plan.folder, complete=True)
    return installed


def remove(folder: Path) -> None:
    """Remove an environment, or the beginning of one."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def watched(python: Path) -> list[str]:
    """The beginning of a line that runs a module and ends it with this process."""
    return [str(python), "-I", "-u", "-X", "utf8", "-c", _UNDER_WATCH]


def _existing(folder: Path) -> Path:
    """The nearest folder above that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
