"""Try it: one click extracts the buildings in the map view from the active raster layer.

It runs as a task in the background with its progress in the message bar, writes a temporary layer,
and refuses views that would take long: those belong into the dialog.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateTransform,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QTimer

from .i18n import tr
from .inputs import SERVERS
from .messages import Offer
from .rendering import size_in_pixels
from .settings import chosen_folder
from .setup_dialog import offer_setup

MAX_PIXELS = 25_000_000
SERVER_PIXEL_M = 0.3
ALGORITHM = "buildext:extract"


class _Feedback(QgsProcessingFeedback):
    """Keeps what went wrong, to show it."""

    def __init__(self) -> None:
        super().__init__(False)
        self.problem = ""

    def reportError(self, error, fatalError=False):
        self.problem = error
        super().reportError(error, fatalError)


class TryIt:
    """One run at a time."""

    def __init__(self, iface) -> None:
        self._iface = iface
        self._task: QgsProcessingAlgRunnerTask | None = None
        self._offer: Offer | None = None

    def start(self, *_: object) -> None:
        """Begin, or say why not."""
        if self._task is not None:
            self._say(tr("It is running already."), Qgis.MessageLevel.Info)
            return
        layer = self._raster()
        if layer is None:
            text = tr("Choose a raster layer in the Layers panel first.")
            self._say(text, Qgis.MessageLevel.Warning)
            return
        view = self._view(layer)
        if view.isEmpty():
            text = tr("The map view does not show “{}”.").format(layer.name())
            self._say(text, Qgis.MessageLevel.Warning)
            return
        pixels = _pixels(layer, view)
        if pixels > MAX_PIXELS:
            self._offer_dialog(layer, view, pixels)
            return
        if chosen_folder() is None:
            offer_setup(self._iface.mainWindow())
        if chosen_folder() is not None:
            self._run(parameters(layer, view))

    def cancel(self) -> None:
        """End what is running."""
        if self._task is not None:
            self._task.cancel()

    def leave(self) -> None:
        """End what is running and take back what is offered."""
        self.cancel()
        if self._offer is not None:
            self._offer.take_back()

    def _raster(self) -> QgsRasterLayer | None:
        """The active layer, else the only raster that is visible."""
        active = self._iface.activeLayer()
        if isinstance(active, QgsRasterLayer):
            return active
        shown = [
            layer for layer in self._iface.mapCanvas().layers() if isinstance(layer, QgsRasterLayer)
        ]
        return shown[0] if len(shown) == 1 else None

    def _view(self, layer: QgsRasterLayer) -> QgsRectangle:
        """The part of the layer that the map shows, in the layer's CRS."""
        canvas = self._iface.mapCanvas()
        project_crs = canvas.mapSettings().destinationCrs()
        carry = QgsCoordinateTransform(project_crs, layer.crs(), QgsProject.instance())
        view = carry.transformBoundingBox(canvas.extent())
        return view if layer.providerType() in SERVERS else view.intersect(layer.extent())

    def _run(self, chosen: dict) -> None:
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(ALGORITHM)
        self._feedback = _Feedback()
        self._context = QgsProcessingContext()
        self._context.setProject(QgsProject.instance())
        self._context.setFeedback(self._feedback)
        ok, problem = algorithm.checkParameterValues(chosen, self._context)
        if not ok:
            self._say(problem, Qgis.MessageLevel.Warning)
            return
        self._task = QgsProcessingAlgRunnerTask(algorithm, chosen, self._context, self._feedback)
        self._task.executed.connect(self._finish)
        self._show_progress()
        QgsApplication.taskManager().addTask(self._task)

    def _show_progress(self) -> None:
        bar = self._iface.messageBar()
        text = tr("Extracting the buildings in the view")
        self._offer = Offer(bar, text, tr("Cancel"), self.cancel)
        self._feedback.progressChanged.connect(self._offer.show_progress)

    def _finish(self, ok: bool, results: dict) -> None:
        """Take the end of the task; QGIS says that it has ended first."""
        cancelled = self._task.isCanceled()
        self._task = None
        self._offer.take_back()
        QTimer.singleShot(0, partial(self._show, ok, cancelled, results))

    def _show(self, ok: bool, cancelled: bool, results: dict) -> None:
        """Show the layer, or what went wrong."""
        if not ok:
            text = tr("Cancelled.") if cancelled else self._feedback.problem
            level = Qgis.MessageLevel.Info if cancelled else Qgis.MessageLevel.Critical
            self._say(text, level)
            return
        found = QgsVectorLayer(results["OUTPUT"], tr("Buildings in the view"), "ogr")
        QgsProject.instance().addMapLayer(found)
        text = tr("{} buildings, in a temporary layer: export it to keep it.")
        self._say(text.format(results["COUNT"]), Qgis.MessageLevel.Success)

    def _offer_dialog(self, layer: QgsRasterLayer, view: QgsRectangle, pixels: float) -> None:
        text = tr("The view holds {} megapixels; zoom in to below {}, or use the dialog.")
        self._offer = Offer(
            self._iface.messageBar(),
            text.format(round(pixels / 1e6), MAX_PIXELS // 1_000_000),
            tr("Open the dialog"),
            partial(_open_dialog, layer, view),
        )

    def _say(self, text: str, level: Qgis.MessageLevel) -> None:
        self._iface.messageBar().pushMessage("Buildext", text, level, 0)


def parameters(layer: QgsRasterLayer, view: QgsRectangle) -> dict:
    """Parameters of the algorithm for a view, in the layer's CRS."""
    name = layer.crs().authid() or layer.crs().toWkt()
    box = (view.xMinimum(), view.xMaximum(), view.yMinimum(), view.yMaximum())
    folder = Path(QgsProcessingUtils.generateTempFilename("buildings.gpkg"))
    return {
        "INPUT": layer,
        "EXTENT": f"{','.join(map(repr, box))} [{name}]",
        "RENDER_SIZE": SERVER_PIXEL_M,
        "OUTPUT": str(folder),
    }


def _pixels(layer: QgsRasterLayer, view: QgsRectangle) -> float:
    """How many pixels of the layer a view holds."""
    if layer.providerType() in SERVERS:
        return math.prod(size_in_pixels(view, layer.crs(), SERVER_PIXEL_M))
    pixel = layer.rasterUnitsPerPixelX() * layer.rasterUnitsPerPixelY()
    return view.width() * view.height() / pixel


def _open_dialog(layer: QgsRasterLayer, view: QgsRectangle) -> None:
    import processing

    chosen = parameters(layer, view)
    processing.execAlgorithmDialog(ALGORITHM, {name: chosen[name] for name in ("INPUT", "EXTENT")})
