"""The provider: what appears as “Buildext” in the Processing toolbox."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider, QgsVectorFileWriter
from qgis.PyQt.QtGui import QIcon

from .algorithms.align import AlignAlgorithm
from .algorithms.check import CheckAlgorithm
from .algorithms.evaluate import EvaluateAlgorithm
from .algorithms.extract import ExtractAlgorithm
from .algorithms.mosaic import MosaicAlgorithm
from .settings import PLUGIN_FOLDER, plugin_version

# What buildext writes; QGIS offers those of them that it can read.
FORMATS = ("gpkg", "fgb", "geojson", "parquet")


class BuildextProvider(QgsProcessingProvider):
    """The algorithms of buildext."""

    def loadAlgorithms(self):
        for algorithm in (
            ExtractAlgorithm,
            EvaluateAlgorithm,
            AlignAlgorithm,
            MosaicAlgorithm,
            CheckAlgorithm,
        ):
            self.addAlgorithm(algorithm())

    def id(self):
        return "buildext"

    def name(self):
        return "Buildext"

    def versionInfo(self):
        return plugin_version()

    def icon(self):
        return QIcon(str(PLUGIN_FOLDER / "icon.svg"))

    def svgIconPath(self):
        return str(PLUGIN_FOLDER / "icon.svg")

    def supportsNonFileBasedOutput(self):
        """Another process writes the outputs: they are files."""
        return False

    def supportedOutputVectorLayerExtensions(self):
        known = QgsVectorFileWriter.supportedFormatExtensions()
        return [suffix for suffix in FORMATS if suffix in known]

    def supportedOutputRasterLayerExtensions(self):
        return ["tif"]
