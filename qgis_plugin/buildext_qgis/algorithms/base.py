"""What all algorithms share: the environment, the call of the command, its progress and its errors.

An algorithm declares parameters, turns them into a command line, and says what came out. In
between, `BuildextAlgorithm.call` runs the command: events become progress, text becomes the log,
a cancel ends the whole process group, an error comes back with its hint.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QCoreApplication, QThread
from qgis.PyQt.QtGui import QIcon

from ..environment import EnvironmentProblemError, Installed
from ..i18n import tr
from ..inputs import SERVER, RasterInput, no_crs, no_extent, raster_input, refusal
from ..runner import CancelledError, Event, ToolError, run, tool_command
from ..settings import PLUGIN_FOLDER, usable_environment

ENVIRONMENT = "ENVIRONMENT"
# What buildext reads as it is; other layers are handed over as a GeoPackage.
READABLE = ["gpkg", "fgb", "geojson", "shp"]
ADVANCED = QgsProcessingParameterDefinition.Flag.FlagAdvanced

Parameters = Mapping[str, Any]


class BuildextAlgorithm(QgsProcessingAlgorithm):
    """A command of buildext as an algorithm of Processing."""

    # Names of the stages that the command reports, with their parts of the whole in percent.
    stages: Mapping[str, tuple[float, float]] = {}

    def createInstance(self):
        return type(self)()

    def icon(self):
        return QIcon(str(PLUGIN_FOLDER / "icon.svg"))

    def svgIconPath(self):
        return str(PLUGIN_FOLDER / "icon.svg")

    def createCustomParametersWidget(self, parent=None):
        """Called when the desktop is about to show the dialog: a good time for the set-up."""
        from ..setup_dialog import offer_setup

        offer_setup(parent)

    def add(self, parameter: QgsProcessingParameterDefinition, help_text: str = "") -> None:
        """Declare a parameter with its help."""
        parameter.setHelp(help_text)
        self.addParameter(parameter)

    def add_advanced(self, parameter: QgsProcessingParameterDefinition, help_text: str) -> None:
        """Declare a parameter that is folded away."""
        parameter.setFlags(parameter.flags() | ADVANCED)
        self.add(parameter, help_text)

    def add_environment(self) -> None:
        """Declare the folder that goes before the chosen environment."""
        folder = QgsProcessingParameterFile.Behavior.Folder
        self.add_advanced(
            QgsProcessingParameterFile(ENVIRONMENT, tr("Environment"), folder, optional=True),
            tr("Folder of a Python environment with buildext. Empty: the one that was set up."),
        )

    def environment(self, parameters: Parameters, context: QgsProcessingContext) -> Installed:
        """The environment to run in.

        Raises:
            QgsProcessingException: there is none that can be used.
        """
        try:
            return usable_environment(self.parameterAsString(parameters, ENVIRONMENT, context))
        except EnvironmentProblemError as error:
            raise QgsProcessingException(_with_hint(str(error), error.hint)) from error

    def raster_problem(
        self, layer: QgsRasterLayer | None, has_extent: bool, accepts_no_crs: bool
    ) -> str:
        """Why a raster layer cannot be used; empty where it can. Part of the check before a run."""
        if layer is None:
            return ""
        problem = refusal(layer)
        if problem:
            return problem
        if layer.providerType() == "gdal" and not layer.crs().isValid() and not accepts_no_crs:
            return no_crs(layer.name())
        if not has_extent and layer.providerType() != "gdal":
            return no_extent(layer.name())
        return ""

    def raster(
        self, parameters: Parameters, name: str, context: QgsProcessingContext
    ) -> RasterInput:
        """The raster of a parameter, taken apart; for `prepareAlgorithm`."""
        layer = self.parameterAsRasterLayer(parameters, name, context)
        if layer is None or not layer.isValid():
            raise QgsProcessingException(self.invalidRasterError(parameters, name))
        return raster_input(layer)

    def part(
        self, parameters: Parameters, name: str, raster: RasterInput, context: QgsProcessingContext
    ) -> QgsRectangle | None:
        """The extent of a parameter in the raster's CRS; None where none is given."""
        if parameters.get(name) in (None, ""):
            return None
        extent = self.parameterAsExtent(parameters, name, context, raster.crs)
        if extent.isEmpty():
            return None
        if raster.kind != SERVER and not extent.intersects(raster.extent):
            raise QgsProcessingException(tr("The extent lies outside the raster."))
        return extent

    def vector(
        self,
        parameters: Parameters,
        name: str,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> tuple[str, str]:
        """File and layer of a vector parameter, whatever holds the layer."""
        return self.parameterAsCompatibleSourceLayerPathAndLayerName(
            parameters, name, context, READABLE, "gpkg", feedback
        )

    def optional_output(
        self, parameters: Parameters, name: str, context: QgsProcessingContext
    ) -> str:
        """Path of an output that need not be asked for; empty where it is not."""
        if parameters.get(name) in (None, ""):
            return ""
        if isinstance(self.parameterDefinition(name), QgsProcessingParameterFileDestination):
            return self.parameterAsFileOutput(parameters, name, context)
        return self.parameterAsOutputLayer(parameters, name, context)

    def area(
        self,
        parameters: Parameters,
        extent: QgsRectangle | None,
        raster: RasterInput,
        folder: Path,
        context: QgsProcessingContext,
    ) -> str:
        """Where to look, as buildext wants it: a rectangle, a file of polygons, or nothing."""
        polygons = self.polygons(parameters, "MASK", context, raster.crs)
        if polygons is None:
            return "" if extent is None else corners(extent)
        if extent is not None:
            polygons = _clipped(polygons, extent)
        return write_mask(polygons, folder, context)

    def polygons(
        self,
        parameters: Parameters,
        name: str,
        context: QgsProcessingContext,
        crs: QgsCoordinateReferenceSystem | None = None,
    ) -> QgsVectorLayer | None:
        """The polygons of a parameter without their fields, in `crs` where one is given."""
        source = self.parameterAsSource(parameters, name, context)
        if source is None:
            return None
        request = QgsFeatureRequest().setSubsetOfAttributes([])
        if crs is not None and crs.isValid():
            request.setDestinationCrs(crs, context.transformContext())
        return source.materialize(request)

    def call(
        self,
        python: Path,
        arguments: Sequence[str],
        feedback: QgsProcessingFeedback,
        also: Callable[[Event], None] | None = None,
    ) -> Event:
        """Run the command; `also` gets the events that the feedback gets.

        Returns:
            Its `result` event.

        Raises:
            QgsProcessingException: it failed, or the user cancelled.
        """
        command = tool_command(python, arguments)
        feedback.pushCommandInfo(" ".join(command))
        listener = _Listener(self.stages, feedback)

        def listen(event: Event) -> None:
            listener(event)
            if also is not None:
                also(event)

        try:
            return run(command, listen, lambda: _is_cancelled(feedback))
        except CancelledError as error:
            raise QgsProcessingException(tr("Cancelled; nothing was left behind.")) from error
        except ToolError as error:
            raise QgsProcessingException(_with_hint(str(error), error.hint)) from error


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder for views and copies, gone at the end of the run."""
    with tempfile.TemporaryDirectory(prefix="buildext-qgis-") as folder:
        yield Path(folder)


class _Listener:
    """Events of the command as QGIS's feedback; the bar never goes back."""

    def __init__(
        self, stages: Mapping[str, tuple[float, float]], feedback: QgsProcessingFeedback
    ) -> None:
        self._stages = stages
        self._feedback = feedback
        self._stage = ""
        self._shown = 0.0

    def __call__(self, event: Event) -> None:
        """Take one event."""
        kind = event["event"]
        if kind == "progress":
            self._progress(event)
        elif kind == "note":
            self._feedback.pushInfo(event["message"])
        elif kind == "text":
            self._feedback.pushConsoleInfo(event["message"])

    def _progress(self, event: Event) -> None:
        stage, total = event["stage"], event["total"]
        if stage != self._stage:
            self._stage = stage
            self._feedback.setProgressText(stage)
        low, high = self._stages.get(stage, (self._shown, self._shown))
        part = event["done"] / total if total else 1.0
        self._shown = max(self._shown, low + (high - low) * part)
        self._feedback.setProgress(self._shown)


def _is_cancelled(feedback: QgsProcessingFeedback) -> bool:
    """Whether the user cancelled.

    Batches of older QGIS and models in the designer run in the thread that draws the windows: there
    this is the moment at which a click on “Cancel” can arrive at all.
    """
    application = QCoreApplication.instance()
    if application is not None and QThread.currentThread() == application.thread():
        QCoreApplication.processEvents()
    return feedback.isCanceled()


def _with_hint(message: str, hint: str) -> str:
    return f"{message}\n→ {hint}" if hint else message


def corners(extent: QgsRectangle) -> str:
    """`xmin,ymin,xmax,ymax` with all their digits."""
    box = (extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum())
    return ",".join(map(repr, box))


def write_mask(polygons: QgsVectorLayer, folder: Path, context: QgsProcessingContext) -> str:
    """Polygons as a file for `--aoi`.

    Raises:
        QgsProcessingException: there is no polygon, or the file could not be written.
    """
    if polygons.featureCount() == 0:
        raise QgsProcessingException(tr("The mask layer holds no polygon inside the extent."))
    path = str(folder / "mask.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", "mask"
    error, message, *_ = QgsVectorFileWriter.writeAsVectorFormatV3(
        polygons, path, context.transformContext(), options
    )
    if error != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(message)
    return path


def _clipped(polygons: QgsVectorLayer, extent: QgsRectangle) -> QgsVectorLayer:
    """The parts of polygons inside a rectangle, as a layer in memory."""
    box = QgsGeometry.fromRect(extent)
    kept = QgsVectorLayer("MultiPolygon", "mask", "memory")
    kept.setCrs(polygons.crs())
    features = []
    for feature in polygons.getFeatures():
        inside = feature.geometry().makeValid().intersection(box)
        if not inside.isEmpty() and inside.type() == QgsWkbTypes.GeometryType.PolygonGeometry:
            inside.convertToMultiType()
            kept_feature = QgsFeature()
            kept_feature.setGeometry(inside)
            features.append(kept_feature)
    kept.dataProvider().addFeatures(features)
    return kept
