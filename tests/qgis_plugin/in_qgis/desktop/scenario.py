"""What a user does in the desktop, from a clean profile to footprints; QGIS runs this by `--code`.

Steps are a generator: it acts, then yields a condition, and is resumed by a timer when that
holds. So the windows live on between the steps, modal ones too. The same timer measures for how
long the desktop stood still.

    BUILDEXT_SCENARIO   a JSON file: zip, scene, shots (folder), report (file), environment
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsGraduatedSymbolRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import (
    QAbstractButton,
    QAction,
    QApplication,
    QTextEdit,
    QToolButton,
    QWidget,
)
from qgis.utils import iface

SETTINGS = json.loads(Path(os.environ["BUILDEXT_SCENARIO"]).read_text("utf-8"))
PATIENCE_S = 900
TICK_MS = 50
REPORT: dict[str, Any] = {"clicks": [], "seconds": {}}


def click(button: QAbstractButton) -> None:
    """Press a button with the mouse, and count it."""
    REPORT["clicks"].append(button.text() or button.objectName())
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def click_soon(button: QAbstractButton) -> None:
    """The same for a button that opens a modal window and does not come back."""
    QTimer.singleShot(0, lambda: click(button))


def shoot(name: str) -> None:
    """A picture of the whole screen."""
    QApplication.processEvents()
    path = Path(SETTINGS["shots"]) / f"{name}.png"
    subprocess.run(["import", "-window", "root", str(path)], check=True)


def window(kind: str) -> QWidget | None:
    """The visible top window of a class."""
    for widget in QApplication.topLevelWidgets():
        if type(widget).__name__ == kind and widget.isVisible():
            return widget
    return None


def child(name: str) -> QAbstractButton | None:
    """The visible button of that name."""
    return next(
        (one for one in iface.mainWindow().findChildren(QAbstractButton, name) if one.isVisible()),
        None,
    )


def tool_button(action_name: str) -> QToolButton:
    """The toolbar's button of an action."""
    main = iface.mainWindow()
    action = main.findChild(QAction, action_name)
    return next(one for one in main.findChildren(QToolButton) if one.defaultAction() is action)


def steps() -> Iterator[Callable[[], Any]]:
    """The way of a user."""
    import pyplugin_installer

    iface.mainWindow().showMaximized()
    start = time.monotonic()
    raster = QgsRasterLayer(SETTINGS["scene"], "Kampala")
    QgsProject.instance().setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    QgsProject.instance().addMapLayer(raster)
    iface.setActiveLayer(raster)
    box = raster.extent()
    view = QgsRectangle(
        box.xMinimum() + 12, box.yMinimum() + 14, box.xMaximum() - 12, box.yMaximum() - 14
    )
    iface.mapCanvas().setExtent(view)
    pyplugin_installer.instance().installFromZipFile(SETTINGS["zip"])
    yield lambda: child("buildextSetUpButton")
    REPORT["seconds"]["installed"] = time.monotonic() - start
    shoot("announced")
    begun = time.monotonic()
    if SETTINGS["environment"]:
        sys.modules["buildext_qgis"].settings.choose_folder(Path(SETTINGS["environment"]))
        iface.messageBar().clearWidgets()
    else:
        click_soon(child("buildextSetUpButton"))
        yield lambda: window("SetupDialog")
        dialog = window("SetupDialog")
        yield dialog.go.isEnabled
        shoot("setup")
        click(dialog.go)
        yield lambda: "packages so far" in dialog.status.text() and dialog._packages > 8
        shoot("setup-running")
        yield lambda: dialog.buttons.buttons() and not dialog.bar.isVisible()
        shoot("setup-done")
        REPORT["status"] = dialog.status.text()
        click(next(one for one in dialog.buttons.buttons() if one.text() == "Done"))
        yield lambda: window("SetupDialog") is None
    REPORT["seconds"]["set up"] = time.monotonic() - begun
    begun = time.monotonic()
    click(tool_button("buildextTryIt"))
    yield lambda: QgsProject.instance().mapLayersByName("Buildings in the view")
    REPORT["seconds"]["first footprints"] = time.monotonic() - begun
    REPORT["seconds"]["all"] = time.monotonic() - start
    found = QgsProject.instance().mapLayersByName("Buildings in the view")[0]
    REPORT["features"] = found.featureCount()
    REPORT["styled"] = isinstance(found.renderer(), QgsGraduatedSymbolRenderer)
    yield pause(2)
    shoot("try-it")
    REPORT["clicks to first footprints"] = len(REPORT["clicks"])
    QgsProject.instance().removeMapLayer(found)
    iface.messageBar().clearWidgets()
    yield from dialog_steps(raster)
    yield from batch_steps()


def dialog_steps(raster: QgsRasterLayer) -> Iterator[Callable[[], Any]]:
    """The algorithm's dialog: before, while and after it runs."""
    import processing

    out = str(Path(SETTINGS["shots"]) / "Gebäude.gpkg")
    parameters = {"INPUT": raster, "OUTPUT": out}
    dialog = processing.createAlgorithmDialog("buildext:extract", parameters)
    dialog.resize(900, 620)
    dialog.show()
    yield pause(1)
    shoot("dialog")
    dialog.runButton().click()
    yield lambda: any("tiles" in log.toPlainText() for log in dialog.findChildren(QTextEdit))
    shoot("running")
    # QGIS names the layer after the parameter or after the file, as its settings say.
    yield vector_layers
    dialog.close()
    yield pause(2)
    shoot("result")
    loaded = vector_layers()[0]
    REPORT["dialog features"] = loaded.featureCount()
    REPORT["dialog styled"] = isinstance(loaded.renderer(), QgsGraduatedSymbolRenderer)


def batch_steps() -> Iterator[Callable[[], Any]]:
    """QGIS's own window for batches, over three rasters; the windows must live on meanwhile."""
    from osgeo import gdal
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
    from qgis.core import QgsApplication, QgsProcessingOutputLayerDefinition

    QgsProject.instance().removeMapLayers([layer.id() for layer in vector_layers()])
    rows = []
    for number in range(3):
        image = str(Path(SETTINGS["shots"]) / f"part{number}.tif")
        gdal.Translate(image, SETTINGS["scene"], srcWin=[300 * number, 300, 320, 320])
        output = QgsProcessingOutputLayerDefinition(
            str(Path(SETTINGS["shots"]) / f"part{number}.gpkg"), QgsProject.instance()
        )
        rows.append({"INPUT": image, "OUTPUT": output})
    registry = QgsApplication.processingRegistry()
    dialog = BatchAlgorithmDialog(registry.createAlgorithmById("buildext:extract"))
    # The table is filled in as a user would; its widgets differ between versions of QGIS.
    panel = dialog.mainWidget()
    panel.batchRowCount = lambda: len(rows)
    panel.parametersForRow = lambda row, *_, **__: (rows[row], True)
    dialog.show()
    QTimer.singleShot(0, dialog.runAlgorithm)
    yield lambda: len(vector_layers()) == len(rows)
    yield pause(1)
    shoot("batch")
    REPORT["batch features"] = [layer.featureCount() for layer in vector_layers()]
    dialog.close()


def vector_layers() -> list[QgsVectorLayer]:
    """The vector layers of the project."""
    layers = QgsProject.instance().mapLayers().values()
    return [layer for layer in layers if isinstance(layer, QgsVectorLayer)]


def pause(seconds: float) -> Callable[[], bool]:
    """A condition that holds after a while."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


class Player:
    """Plays the steps on a timer."""

    def __init__(self) -> None:
        self._steps = steps()
        self._condition: Callable[[], Any] = lambda: True
        self._last = self._since = time.monotonic()
        self._longest = 0.0
        self._busy = False
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._busy:
            return
        self._longest = max(self._longest, now - self._last)
        self._busy = True
        try:
            if now - self._since > PATIENCE_S:
                raise TimeoutError("waited in vain")
            if self._condition():
                self._condition = next(self._steps)
                self._since = time.monotonic()
        except StopIteration:
            REPORT["longest standstill"] = self._longest
            self._end(0)
        except Exception:
            REPORT["error"] = traceback.format_exc()
            shoot("error")
            self._end(3)
        finally:
            self._busy = False
            # What a step itself does (pictures, first imports) is not a standstill of the plugin.
            self._last = time.monotonic()

    def _end(self, code: int) -> None:
        Path(SETTINGS["report"]).write_text(json.dumps(REPORT, indent=2, ensure_ascii=False))
        os._exit(code)


# A crash is to say where in Python it came from.
faulthandler.enable(Path(SETTINGS["report"]).with_suffix(".crash").open("w"))
PLAYER = Player()
