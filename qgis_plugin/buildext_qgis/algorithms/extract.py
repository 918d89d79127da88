"""Extract building footprints: a raster layer in, a styled layer of polygons out."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from ..i18n import tr
from ..styles import style_on_load
from .base import workplace
from .extraction import ExtractionAlgorithm

DOUBLE = QgsProcessingParameterNumber.Type.Double


class ExtractAlgorithm(ExtractionAlgorithm):
    """`buildext extract`."""

    stages = {"extract": (0, 100)}

    def name(self):
        return "extract"

    def displayName(self):
        return tr("Extract building footprints")

    def shortDescription(self):
        return tr("Polygons of all buildings that an aerial or satellite image shows")

    def tags(self):
        return tr("buildings,footprints,roofs,segmentation,deep learning,imagery").split(",")

    def shortHelpString(self):
        return tr(
            "Finds the buildings in an image of 0.1 to 1.2 m per pixel and writes one polygon a "
            "building, in the CRS of the image.\n\n"
            "Each has a <b>confidence</b> (0 to 1), its area [m²] and perimeter [m] measured on "
            "the ellipsoid, and <b>reg_status</b>: regularised, simplified or kept as found. The "
            "fill shows the confidence, from red (doubtful) to blue (certain); the outline shows "
            "reg_status: solid, dashed, dotted.\n\n"
            "Memory stays near 1 GB whatever the size of the image. Limit the work with an extent, "
            "a mask layer, or both. A map server's layer (WMS, XYZ) needs an extent."
        )

    def initAlgorithm(self, configuration=None):
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", tr("Image")),
            tr("Raster layer or file: GeoTIFF, COG, VRT, … with red, green and blue."),
        )
        self.add(
            QgsProcessingParameterExtent("EXTENT", tr("Extent"), optional=True),
            tr("Look only here. Empty: the whole image."),
        )
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterFeatureSource("MASK", tr("Mask layer"), polygons, optional=True),
            tr("Look only inside these polygons, in any CRS."),
        )
        self.add_extraction_parameters()
        self.add_advanced_extraction_parameters()
        self.add_advanced(
            QgsProcessingParameterBoolean("PIXEL_UNITS", tr("Accept a raster without CRS"), False),
            tr("Lengths and areas are then pixels."),
        )
        self.add_advanced(
            QgsProcessingParameterNumber(
                "RENDER_SIZE", tr("Pixel size of map servers [m]"), DOUBLE, 0.3, False, 0.05, 2
            ),
            tr("At which WMS and XYZ layers are fetched. Finer than the server has is of no use."),
        )
        self.add_environment()
        self.addParameter(
            QgsProcessingParameterVectorDestination("OUTPUT", tr("Footprints"), polygons[0])
        )
        self.addParameter(
            QgsProcessingParameterRasterDestination(
                "PROBABILITY", tr("Probability"), None, True, False
            )
        )
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "REVIEW",
                tr("Doubtful buildings to check"),
                "GeoPackage (*.gpkg)",
                None,
                True,
                False,
            )
        )
        self.addOutput(QgsProcessingOutputNumber("COUNT", tr("Number of buildings")))

    def checkParameterValues(self, parameters, context):
        ok, message = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, message
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        problem = self.raster_problem(
            layer,
            parameters.get("EXTENT") not in (None, ""),
            self.parameterAsBool(parameters, "PIXEL_UNITS", context),
        )
        return not problem, problem

    def prepareAlgorithm(self, parameters, context, feedback):
        self._raster = self.raster(parameters, "INPUT", context)
        self._extent = self.part(parameters, "EXTENT", self._raster, context)
        return True

    def processAlgorithm(self, parameters, context, feedback):
        python = self.environment(parameters, context).python
        outputs = {"OUTPUT": self.parameterAsOutputLayer(parameters, "OUTPUT", context)}
        if not outputs["OUTPUT"]:
            raise QgsProcessingException(self.invalidSinkError(parameters, "OUTPUT"))
        with workplace() as place:
            size_m = self.parameterAsDouble(parameters, "RENDER_SIZE", context)
            scene = self._raster.file(place, self._extent, size_m, feedback)
            line = ["extract", str(scene), "-o", outputs["OUTPUT"], "--overwrite"]
            line += self.extraction_options(parameters, context)
            if self.parameterAsBool(parameters, "PIXEL_UNITS", context):
                line.append("--pixel-units")
            area = self.area(parameters, self._extent, self._raster, place, context)
            if area:
                line.append(f"--aoi={area}")
            for name in ("PROBABILITY", "REVIEW"):
                path = self.optional_output(parameters, name, context)
                if path:
                    outputs[name] = path
                    line += [f"--{name.lower()}", path]
            line += ["--progress", "json", "--exit-with-parent"]
            result = self.call(python, line, feedback)
        feedback.pushInfo(tr("{} buildings").format(result["features"]))
        style_on_load(outputs["OUTPUT"], "footprints", context)
        return {**outputs, "COUNT": result["features"]}
