"""Atomic outputs: a file appears under its final name complete, or not at all.

The writer gets a temporary name in the same folder (the same file system, hence an atomic rename)
with the same suffix (drivers choose their format by it). Whatever interrupts the writing, an error,
Ctrl-C, SIGTERM turned into an exception, the temporary file goes and the final name is as before.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from buildext.errors import DiskFullError, NotWritableError, OutputError, OutputExistsError


def check_output(final: Path, overwrite: bool) -> None:
    """Refuse an output early that could not be written at the end.

    Raises:
        OutputExistsError: the file exists and `overwrite` is false.
        NotWritableError: the folder does not exist or cannot be written to.
    """
    folder = final.parent
    if not folder.is_dir():
        raise NotWritableError(
            f"got the output {final}, but the folder {folder} does not exist",
            hint="make the folder first or choose another output",
        )
    if final.is_dir():
        raise NotWritableError(
            f"got the folder {final} as output; expected a file name",
            hint="name a file in that folder, such as buildings.gpkg",
        )
    if final.exists() and not overwrite:
        raise OutputExistsError(
            f"the output {final} exists already", hint="use --overwrite or choose another name"
        )
    # Asking the file system beats reading permission bits: root, ACLs and read-only mounts.
    probe = folder / f".{final.name}.{uuid.uuid4().hex[:8]}.probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise as_output_error(error, final) from error


def as_output_error(error: BaseException, final: Path) -> OutputError:
    """The buildext error for an exception met while `final` was written."""
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "disk is full" in text:
        return DiskFullError(
            f"the disk filled up while {final} was written",
            hint="free some space or choose an output on another disk; nothing was left behind",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotWritableError(
            f"the folder {final.parent} cannot be written to ({os.strerror(number)})",
            hint="choose an output folder in which you may write",
        )
    return OutputError(f"{final} could not be written: {text}", hint="check the output folder")


@contextlib.contextmanager
def atomic_path(final: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside `final` that becomes `final` when the block ends well.

    Args:
        final: the output's path.
        overwrite: replace an existing file.

    Yields:
        The temporary path to write to. Whatever shares its stem (a journal, an index) is removed
        at the end, on failure the file itself too.

    Raises:
        OutputExistsError, NotWritableError: see `check_output`.
        DiskFullError: the disk filled up inside the block.
    """
    check_output(final, overwrite)
    temporary = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}{final.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(final)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise as_output_error(error, final) from error
        raise
    finally:
        # Drivers put journals, indices and tiles in the making beside a file.
        for leftover in final.parent.glob(f"{glob.escape(temporary.stem)}*"):
            leftover.unlink(missing_ok=True)
