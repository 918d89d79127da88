"""Running the command line: in this process where only the outcome counts, else in its own."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildext.cli.main import run
from tests import real


@dataclass(frozen=True)
class Outcome:
    """What a run of the command line gave."""

    code: int
    stdout: str
    stderr: str

    def error_lines(self) -> list[str]:
        """The lines of stderr that begin an error."""
        return [line for line in self.stderr.splitlines() if line.startswith("Error: ")]


Call = Callable[..., Outcome]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Run `buildext ARGS` in this process; what C libraries print is caught too."""
    logger = logging.getLogger("buildext")
    handlers, level = logger.handlers[:], logger.level
    on_sigterm = signal.getsignal(signal.SIGTERM)

    def call(*args: object) -> Outcome:
        capfd.readouterr()
        code = run([str(arg) for arg in args])
        return Outcome(code, *capfd.readouterr())

    yield call
    signal.signal(signal.SIGTERM, on_sigterm)
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for outputs, empty."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def small_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 320 × 320 pixel corner of the real scene: 24 m, some buildings, a moment to extract."""
    path = tmp_path_factory.mktemp("scene") / "small.tif"
    return real.write_raster(path, real.pixels(320))
