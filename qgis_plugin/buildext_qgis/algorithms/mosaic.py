"""Process a city mosaic: many images in, one layer out, in blocks, with resume."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsRasterLayer,
)

from ..i18n import tr
from ..inputs import FILE, RasterInput, raster_input
from ..styles import style_on_load
from .base import workplace
from .extraction import ExtractionAlgorithm

INTEGER = QgsProcessingParameterNumber.Type.Integer
ORDERS = ("newest", "given", "nadir")
LAYER, PAGE = "buildings.gpkg", "summary.html"


class MosaicAlgorithm(ExtractionAlgorithm):
    """`buildext mosaic`."""

    stages = {"survey": (0, 5), "blocks": (5, 90), "merge": (90, 100)}

    def name(self):
        return "mosaic"

    def displayName(self):
        return tr("Process a city mosaic")

    def shortDescription(self):
        return tr("One seamless layer of buildings from many images, continued where it stopped")

    def tags(self):
        return tr("buildings,footprints,city,mosaic,tiles,resume,batch").split(",")

    def shortHelpString(self):
        return tr(
            "Extracts the buildings of many images as one layer: a building that several files "
            "share is one polygon, and where files overlap one of them counts. The work is done in "
            "blocks; the same run into the same folder <b>continues</b> after a cancel or a power "
            "cut, and does again only what has changed since.\n\n"
            "Images may differ in CRS and pixel size. Damaged files are left out and named in the "
            "summary page. The folder gets a GeoPackage, the page, the probability as an image, "
            "and if you want GeoParquet and PMTiles.\n\n"
            "Each worker is a process of its own and takes about 1 GB of memory."
        )

    def initAlgorithm(self, configuration=None):
        rasters = QgsProcessing.SourceType.TypeRaster
        self.add(
            QgsProcessingParameterMultipleLayers("INPUTS", tr("Images"), rasters, None, True),
            tr("Raster layers or files. Their layers' order counts for “as given”."),
        )
        folder = QgsProcessingParameterFile.Behavior.Folder
        self.add(
            QgsProcessingParameterFile("FOLDER", tr("Folder of images"), folder, optional=True),
            tr("All images in it, in place of the list or besides."),
        )
        names = [tr("The newest"), tr("The first as given"), tr("The least tilted view")]
        self.add(
            QgsProcessingParameterEnum("ORDER", tr("Where images overlap"), names, False, 0),
            tr("Which of several images counts at a place."),
        )
        self.add(
            QgsProcessingParameterNumber("WORKERS", tr("Workers"), INTEGER, 1, False, 1, 64),
            tr("Processes at the same time; they share the processor's cores."),
        )
        self.add_extraction_parameters()
        self.add_advanced(
            QgsProcessingParameterCrs("CRS", tr("CRS of the mosaic"), None, True),
            tr("A projected one. Empty: that of most pixels."),
        )
        self.add_advanced(
            QgsProcessingParameterNumber(
                "BLOCK", tr("Side of a block [pixels]"), INTEGER, 8192, False, 512
            ),
            tr("Smaller blocks lose less when a run is stopped."),
        )
        for name, text in (("PARQUET", "GeoParquet"), ("PMTILES", "PMTiles")):
            self.add_advanced(
                QgsProcessingParameterBoolean(name, tr("Write {} too").format(text), False),
                tr("Besides the GeoPackage."),
            )
        self.add_advanced_extraction_parameters()
        self.add_environment()
        self.addParameter(
            QgsProcessingParameterFolderDestination("OUTPUT", tr("Folder of the mosaic"))
        )
        self.addOutput(
            QgsProcessingOutputVectorLayer(
                "FOOTPRINTS", tr("Footprints"), QgsProcessing.SourceType.TypeVectorPolygon
            )
        )
        self.addOutput(QgsProcessingOutputHtml("SUMMARY", tr("Summary")))
        self.addOutput(QgsProcessingOutputNumber("COUNT", tr("Number of buildings")))
        self.addOutput(QgsProcessingOutputNumber("DAMAGED", tr("Number of damaged images")))

    def checkParameterValues(self, parameters, context):
        ok, message = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, message
        layers = self._layers(parameters, context)
        if not layers and not self.parameterAsString(parameters, "FOLDER", context):
            return False, tr("Choose images, or a folder of images.")
        for layer in layers:
            problem = self.raster_problem(layer, has_extent=False, accepts_no_crs=False)
            if problem:
                return False, problem
        return True, ""

    def prepareAlgorithm(self, parameters, context, feedback):
        self._rasters = [raster_input(layer) for layer in self._layers(parameters, context)]
        return True

    def processAlgorithm(self, parameters, context, feedback):
        python = self.environment(parameters, context).python
        out = self.parameterAsString(parameters, "OUTPUT", context)
        if not out:
            raise QgsProcessingException(tr("Choose a folder for the mosaic."))
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        with workplace() as place:
            names = [
                str(_file(raster, number, place, feedback))
                for number, raster in enumerate(self._rasters)
            ]
            folder = self.parameterAsString(parameters, "FOLDER", context)
            line = ["mosaic", "run", *names, *([folder] if folder else []), "-o", out]
            line += self._own_options(parameters, context)
            line += self.extraction_options(parameters, context)
            line += ["--progress", "json", "--exit-with-parent"]
            result = self.call(python, line, feedback)
        for file in result["damaged"]:
            feedback.pushWarning(tr("Left out: {}").format(file))
        layer = str(Path(out) / LAYER)
        _load(layer, context)
        return {
            "OUTPUT": out,
            "FOOTPRINTS": layer,
            "SUMMARY": str(Path(out) / PAGE),
            "COUNT": result["features"],
            "DAMAGED": len(result["damaged"]),
        }

    def _layers(self, parameters, context) -> list[QgsRasterLayer]:
        return self.parameterAsLayerList(parameters, "INPUTS", context)

    def _own_options(self, parameters, context) -> list[str]:
        """The options that a single scene does not have."""
        workers = self.parameterAsInt(parameters, "WORKERS", context)
        line = [
            f"--order={ORDERS[self.parameterAsEnum(parameters, 'ORDER', context)]}",
            f"--block={self.parameterAsInt(parameters, 'BLOCK', context)}",
            # One worker is the command's own process.
            f"--workers={workers if workers > 1 else 0}",
            "--format=gpkg",
        ]
        for name in ("PARQUET", "PMTILES"):
            if self.parameterAsBool(parameters, name, context):
                line.append(f"--format={name.lower()}")
        crs = self.parameterAsCrs(parameters, "CRS", context)
        if crs.isValid():
            line.append(f"--crs={crs.authid() or crs.toWkt()}")
        return line


def _file(raster: RasterInput, number: int, place: Path, feedback) -> Path:
    """A file of its own name for each raster."""
    if raster.kind == FILE and not raster.crs_differs:
        return Path(raster.source)
    folder = place / str(number)
    folder.mkdir()
    return raster.file(folder, None, 0.3, feedback)


def _load(layer: str, context: QgsProcessingContext) -> None:
    """Have the layer added to the project; a folder is not loaded by itself."""
    if context.project() is None:
        return
    details = QgsProcessingContext.LayerDetails(tr("Footprints"), context.project(), "FOOTPRINTS")
    context.addLayerToLoadOnCompletion(layer, details)
    style_on_load(layer, "footprints", context)
