"""The command group: lazy commands, and one place where errors become exit codes.

A command's module is imported when the command is asked for, so `buildext --help` starts no engine
and no GDAL. Errors of buildext end the program with one line and the exit code of their class;
`--debug` shows the traceback. Ctrl-C ends with 130 and SIGTERM with 143, after everything that
cleans up behind an unfinished output has run.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import click

from buildext import __version__
from buildext.errors import BuildextError

COMMANDS = {
    "extract": "Extract building footprints from a scene.",
    "mosaic": "Extract the buildings of a whole city, in blocks, with resume.",
    "evaluate": "Score footprints against a reference.",
    "align": "Move existing footprints to where an image shows them.",
    "train": "Train a model from a configuration file.",
    "finetune": "Make a model better for a place with a few corrected buildings.",
    "pack": "Write datasets as plain images, to train without geodata libraries.",
    "simulate": "Render an off-nadir scene from footprints with heights.",
    "misalign": "Give clean labels errors that are known.",
    "quantize": "Make a model light: int8, with the loss measured.",
    "export": "Write a model as one file for other programs.",
    "benchmark": "Rank models by accuracy and speed on this machine.",
    "study": "Do many trainings that differ in few things, and rank them.",
    "search": "Search a network that keeps given constraints.",
    "encoders": "List the encoders that networks are built from.",
    "models": "List, show and verify models.",
    "doctor": "Report versions, engines, processor, drivers and disk.",
}
SIGINT_CODE, SIGTERM_CODE, DEFECT_CODE = 130, 143, 1


class Terminated(BaseException):
    """Raised in the main thread on SIGTERM, so that unfinished outputs are cleaned up."""


class LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, in the order of a user's way through them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"buildext.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; a typo is answered with the nearest name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            extra = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{extra}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: eval "$(_BUILDEXT_COMPLETE=bash_source buildext)" (or zsh, fish).',
)
@click.version_option(__version__, prog_name="buildext")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (on any command).")
def cli(debug: bool) -> None:
    """Building footprints from very-high-resolution and off-nadir imagery."""


@click.command(
    "buildext",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def rio_plugin(args: tuple[str, ...]) -> NoReturn:
    """Building footprints from very-high-resolution imagery."""
    # The whole line is handed on, so that `rio buildext` has the same errors and exit codes.
    sys.exit(run(list(args)))


def main() -> NoReturn:
    """Run the command line and end the process with the documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run the command line.

    Returns:
        0 done, 2 usage or existing output, 3 input, 4 model, 5 disk or memory, 130 SIGINT,
        143 SIGTERM, 1 a defect of buildext itself.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    # Wherever it stands on the line: a user adds it at the end, after an error.
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    try:
        result: Any = cli.main(args=args, prog_name="buildext", standalone_mode=False)
    except BuildextError as error:
        if debug:
            raise
        _tell(args, error.exit_code, str(error), error.hint)
        return error.exit_code
    except click.ClickException as error:
        _tell(args, error.exit_code, error.format_message(), "see --help", error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _tell(args, SIGINT_CODE, "interrupted; no unfinished output was left behind", "")
        return SIGINT_CODE
    except Terminated:
        _tell(args, SIGTERM_CODE, "terminated; no unfinished output was left behind", "")
        return SIGTERM_CODE
    except BrokenPipeError:
        # The reader of our output went away; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        _tell(args, 5, "memory ran out", "choose a smaller --tile or close other programs")
        return 5
    except Exception as error:
        if debug:
            raise
        _tell(
            args,
            DEFECT_CODE,
            f"a defect of buildext: {type(error).__name__}: {error}",
            "run again with --debug and report it with the output of `buildext doctor`",
        )
        return DEFECT_CODE
    return result if isinstance(result, int) else 0


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def _tell(
    args: list[str],
    code: int,
    message: str,
    hint: str,
    click_error: click.ClickException | None = None,
) -> None:
    """Say what went wrong: a JSON event where a program reads along, else one line and its hint."""
    one_line = " ".join(message.split())
    if _wants_json(args):
        from buildext.progress import JsonProgress

        JsonProgress().emit("error", code=code, message=one_line, hint=hint)
    elif click_error is not None:
        click_error.show()
    else:
        click.secho(f"Error: {one_line}", fg="red", err=True)
        if hint:
            click.echo(f"  {hint}", err=True)


def _wants_json(args: list[str]) -> bool:
    pairs = zip(args, [*args[1:], ""], strict=True)
    return any(a == "--progress=json" or (a, b) == ("--progress", "json") for a, b in pairs)
