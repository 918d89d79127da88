"""Options that several commands share, so that they are spelled and explained once.

| option              | who has it                | meaning                                     |
|---------------------|---------------------------|---------------------------------------------|
| `--progress`        | every long command        | bar, JSON lines or silence                  |
| `--exit-with-parent`| every long command        | end when standard input closes              |
| `-v`, `-q`          | every long command        | more or less on the log                     |
| `--overwrite`       | every writing command     | replace an existing output                  |
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import click

from buildext.progress import JsonProgress, Progress, RichProgress, SilentProgress

Command = TypeVar("Command", bound=Callable[..., Any])


def overwrite_option(command: Command) -> Command:
    """Add `--overwrite`."""
    return click.option("--overwrite", is_flag=True, help="Replace an output that exists.")(command)


def manners(command: Command) -> Command:
    """Add the options of every long-running command."""
    for option in (
        click.option(
            "--exit-with-parent",
            is_flag=True,
            help="End when standard input closes: for programs that start buildext.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
        click.option("-v", "--verbose", count=True, help="Say more; twice for debugging."),
        click.option(
            "--progress",
            "progress_kind",
            type=click.Choice(["auto", "bar", "json", "none"]),
            default="auto",
            show_default=True,
            help="How progress is shown; json writes one object a line on stdout.",
        ),
    ):
        command = option(command)
    return command


def make_progress(kind: str, quiet: bool) -> Progress:
    """The face of progress that the options ask for."""
    if kind == "json":
        return JsonProgress()
    if kind == "none" or quiet:
        return SilentProgress()
    from rich.console import Console

    return RichProgress(Console(stderr=True))


def set_up_logging(verbose: int, quiet: bool) -> None:
    """Send the library's log to stderr at the asked-for level."""
    level = (
        logging.ERROR if quiet else [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("buildext")
    logger.handlers[:] = [handler]
    logger.setLevel(level)


def watch_parent() -> None:
    """End this process when standard input closes, as it does when the parent dies.

    The process first gets SIGTERM, which cleans up behind unfinished outputs; should that not end
    it within ten seconds, it ends at once.
    """

    def watch() -> None:
        # Not `sys.stdin`: its lock, held by this thread, would abort the interpreter's shutdown.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
        os._exit(143)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
