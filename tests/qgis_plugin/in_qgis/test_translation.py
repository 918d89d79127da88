"""A translation that is made with Qt's tools from the plugin's own list of words is shown."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.qgis_plugin.in_qgis import support

# isort: split
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication

pytestmark = pytest.mark.usefixtures("qgis_app")


@pytest.fixture
def in_german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    release = shutil.which("lrelease")
    if release is None:
        pytest.skip("Qt's lrelease is not installed")
    from buildext_qgis import i18n

    program = str(support.ROOT / "qgis_plugin" / "strings.py")
    listed = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    words = listed.stdout.replace(
        '<source>Image</source><translation type="unfinished"></translation>',
        "<source>Image</source><translation>Bild</translation>",
    )
    folder = tmp_path / "i18n"
    folder.mkdir()
    (folder / "buildext_de.ts").write_text(words, "utf-8")
    subprocess.run([release, "-silent", str(folder / "buildext_de.ts")], check=True)
    monkeypatch.setattr(i18n, "__file__", str(tmp_path / "i18n.py"))
    monkeypatch.setattr(QgsApplication, "locale", lambda: "de_DE")
    translator = i18n.load_translation()
    assert translator is not None
    yield
    QCoreApplication.removeTranslator(translator)


@pytest.mark.usefixtures("in_german")
def test_a_translation_is_shown() -> None:
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("buildext:extract")
    assert algorithm.parameterDefinition("INPUT").description() == "Bild"
    # What is not translated stays English.
    assert algorithm.parameterDefinition("MASK").description() == "Mask layer"
