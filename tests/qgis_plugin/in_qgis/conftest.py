"""One QGIS for all tests, and one environment, made by the plugin's own set-up."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def qgis_app() -> Iterator[Any]:
    """A QGIS without windows, in a profile of its own, with the plugin's provider."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    runtime = tempfile.mkdtemp(prefix="buildext-runtime-")
    os.environ.setdefault("XDG_RUNTIME_DIR", runtime)
    os.environ["QGIS_CUSTOM_CONFIG_PATH"] = tempfile.mkdtemp(prefix="buildext-profile-")
    from qgis.core import QgsApplication

    from tests.qgis_plugin.in_qgis import support

    QgsApplication.setPrefixPath("/usr", True)
    app = QgsApplication([], True)
    app.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    from buildext_qgis import classFactory

    assert Path(sys.modules["buildext_qgis"].__file__).is_relative_to(support.PLUGINS)
    plugin = classFactory(None)
    plugin.initProcessing()
    yield app
    plugin.unload()


@pytest.fixture(scope="session")
def environment(qgis_app: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with buildext: the given one, or one made from the plugin's zip."""
    from buildext_qgis.environment import find_interpreters
    from buildext_qgis.installation import Plan, bundled_wheel, install
    from buildext_qgis.settings import PLUGIN_FOLDER, choose_folder

    given = os.environ.get("BUILDEXT_ENVIRONMENT")
    if given:
        folder = Path(given)
    else:
        # Spaces and letters beyond ASCII, as in the names of people.
        folder = tmp_path_factory.mktemp("Jürgen Größe") / "environment"
        plan = Plan(find_interpreters()[0], folder, bundled_wheel(PLUGIN_FOLDER))
        install(plan, lambda step: None, lambda event: None, lambda: False)
    choose_folder(folder)
    return folder


@pytest.fixture
def clean_project(qgis_app: Any) -> Iterator[Any]:
    """An empty project."""
    from qgis.core import QgsProject

    QgsProject.instance().clear()
    yield QgsProject.instance()
    QgsProject.instance().clear()
