"""Every error that a user can meet, on one page.

The text of an error says what was got and what was expected; `hint` says what to do. Each class is
also a built-in exception, so that a caller who knows nothing of buildext can still catch it, and
carries the exit code with which the command line ends.
"""

from __future__ import annotations


class BuildextError(Exception):
    """Root of all errors that buildext raises on purpose."""

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(BuildextError, ValueError):
    """Raised when options contradict each other or a value is out of range."""

    exit_code = 2


class OutputExistsError(UsageError, FileExistsError):
    """Raised when an output exists already and overwriting was not asked for."""


class InputError(BuildextError, ValueError):
    """Raised when an input file cannot be used."""

    exit_code = 3


class MissingInputError(InputError, FileNotFoundError):
    """Raised when an input file does not exist."""


class SceneError(InputError, OSError):
    """Raised when a raster is unreadable, truncated or of a kind that cannot be handled."""


class DamagedSceneError(SceneError):
    """Raised when a raster that was opened cannot be read to its end; `file` names it."""

    file: str = ""


class NoCrsError(InputError):
    """Raised when a scene or a layer has no coordinate reference system."""


class BandError(InputError):
    """Raised when the bands of a scene do not fit what the model needs."""


class NoValidPixelError(InputError):
    """Raised when a scene, or the asked-for part of it, holds no valid pixel."""


class LabelError(InputError):
    """Raised when labels or reference footprints cannot be used with their image."""


class ModelError(BuildextError, ValueError):
    """Raised when a model's card or weights do not fit together."""

    exit_code = 4


class UnknownModelError(ModelError, LookupError):
    """Raised when no bundled model and no folder has the given name."""


class DamagedModelError(ModelError):
    """Raised when a file of a model does not match the checksum in its card."""


class OutputError(BuildextError, OSError):
    """Raised when an output cannot be written."""

    exit_code = 5


class DiskFullError(OutputError):
    """Raised when the disk fills up while an output is written."""


class NotWritableError(OutputError, PermissionError):
    """Raised when the folder of an output does not exist or cannot be written to."""


class ResourceError(BuildextError, MemoryError):
    """Raised when memory runs out even with the smallest batch."""

    exit_code = 5


class WorkerLostError(ResourceError):
    """Raised when a worker process died over its work."""
