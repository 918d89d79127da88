"""QGIS for tests: the plugin as a user has it, real scenes, processes.

A module of tests imports this first. Where there is no QGIS it is skipped; with
BUILDEXT_REQUIRE_QGIS=1 that is an error instead.

    BUILDEXT_PLUGIN_ZIP     the plugin's zip; without it the source tree is loaded
    BUILDEXT_ENVIRONMENT    an environment with buildext; without it the plugin's set-up makes one
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

try:
    import qgis.core  # noqa: F401
except ImportError:
    if os.environ.get("BUILDEXT_REQUIRE_QGIS"):
        raise
    pytest.skip("QGIS is not installed for this Python", allow_module_level=True)

from osgeo import gdal
from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProject

gdal.UseExceptions()
# Statistics of a layer would be written beside the bundled scenes.
os.environ["GDAL_PAM_ENABLED"] = "NO"
ROOT = Path(__file__).resolve().parents[3]
SCENE = ROOT / "datasets" / "kampala_b" / "scene.tif"
BUILDINGS = ROOT / "datasets" / "kampala_b" / "buildings.gpkg"
SATELLITE = ROOT / "datasets" / "vegas_satellite" / "scene.tif"
CITY = ROOT / "datasets" / "melbourne_city" / "tiers.gpkg"
PATIENCE_S = 300
"""Longer than anything takes on a busy machine."""


def unpack_plugin() -> Path:
    """The folder that holds the folder of the plugin."""
    archive = os.environ.get("BUILDEXT_PLUGIN_ZIP")
    if not archive:
        return ROOT / "qgis_plugin"
    folder = Path(tempfile.mkdtemp(prefix="buildext-plugins-"))
    with zipfile.ZipFile(archive) as plugin:
        plugin.extractall(folder)
    return folder


PLUGINS = unpack_plugin()
sys.path[:0] = [str(PLUGINS), "/usr/share/qgis/python/plugins"]


def crop(
    path: Path, size_px: int = 320, offset_px: tuple[int, int] = (300, 300), **options: Any
) -> Path:
    """A part of the real scene with a dozen buildings, in one tile of the model."""
    source = str(options.pop("source", SCENE))
    window = [*offset_px, size_px, size_px]
    gdal.Translate(str(path), source, srcWin=window, **options)
    return path


def large_scene(path: Path) -> Path:
    """A VRT that shows the real scene as 64 megapixels of 0.3 m: minutes of work."""
    west, north, size_px, pixel_m = 3627854, 38830, 8000, 0.3
    east, south = west + size_px * pixel_m, north - size_px * pixel_m
    bounds = [west, north, east, south]
    size = {"width": size_px, "height": size_px}
    gdal.Translate(str(path), str(SCENE), format="VRT", outputBounds=bounds, **size)
    return path


class Feedback(QgsProcessingFeedback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(False)
        self.bar: list[float] = []
        self.progressChanged.connect(self.bar.append)


def run(name: str, parameters: dict[str, Any], feedback: Feedback | None = None) -> Run:
    """Run an algorithm of the provider, as the desktop does, and load its layers."""
    from qgis.core import QgsApplication

    feedback = feedback or Feedback()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    context.setFeedback(feedback)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"buildext:{name}")
    accepted, problem = algorithm.checkParameterValues(parameters, context)
    if not accepted:
        return Run(False, {}, f"{problem}\n{feedback.textLog()}", feedback.bar, context)
    results, ok = algorithm.run(parameters, context, feedback)
    return Run(ok, results, feedback.textLog(), feedback.bar, context)


class Run:
    """What a run of an algorithm came to."""

    def __init__(
        self, ok: bool, results: dict[str, Any], log: str, bar: list[float], context: Any
    ) -> None:
        self.ok, self.results, self.log, self.bar, self.context = ok, results, log, bar, context


def processes_with(text: str) -> list[int]:
    """Processes that run and have `text` in their command line, but for this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in line and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def group_of(leader: int) -> list[int]:
    """Processes that run in the group that `leader` began, whoever is left of it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == leader and state != "Z":
            found.append(int(folder.name))
    return found


def wait_until(condition: Any, what: str) -> None:
    """Wait, but not for ever."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)


def qgis_process() -> str:
    """The program itself: Debian's wrapper adds an option that it refuses."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    assert program, "QGIS has no qgis_process"
    return program


def start_qgis_process(profile: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `qgis_process` with a profile of its own and the plugin."""
    variables = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(profile),
        "QGIS_PLUGINPATH": str(PLUGINS),
    }
    return subprocess.Popen(
        [qgis_process(), *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
