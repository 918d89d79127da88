"""Align footprints to an image: each polygon is moved to the roof that the image shows."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..i18n import tr
from ..styles import style_on_load
from .base import BuildextAlgorithm, workplace

DOUBLE = QgsProcessingParameterNumber.Type.Double


class AlignAlgorithm(BuildextAlgorithm):
    """`buildext align`."""

    stages = {"extract": (0, 70), "align": (70, 100)}

    def name(self):
        return "align"

    def displayName(self):
        return tr("Align footprints to an image")

    def shortDescription(self):
        return tr("Moves existing building polygons to where an image shows their roofs")

    def tags(self):
        return tr("buildings,footprints,cadastre,offset,shift,registration").split(",")

    def shortHelpString(self):
        return tr(
            "An old cadastre on a new image: shapes are right, places are not. Each polygon is "
            "moved, as it is, to the roof that the image shows, by at most the given number of "
            "metres. Neighbours help where a roof alone is not clear.\n\n"
            "The output keeps the fields and the CRS of the labels and adds the step on the ground "
            "(<b>east_m</b>, <b>north_m</b>), a <b>confidence</b> and <b>align_status</b>: moved, "
            "kept (not sure enough), missing (no such building in the image), unseen (outside the "
            "image)."
        )

    def initAlgorithm(self, configuration=None):
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", tr("Image")),
            tr("Raster layer or file with red, green and blue, 0.1 to 1.2 m per pixel."),
        )
        self.add(
            QgsProcessingParameterFeatureSource("LABELS", tr("Footprints to move"), polygons),
            tr("Polygons in any CRS."),
        )
        self.add(
            QgsProcessingParameterNumber(
                "MAX_SHIFT", tr("Largest shift [m]"), DOUBLE, 10.0, False, 0.1, 50
            ),
            tr("No polygon is moved farther. Larger takes longer and errs more often."),
        )
        self.add(
            QgsProcessingParameterExtent("EXTENT", tr("Extent"), optional=True),
            tr("Use only this part of the image; labels outside are “unseen”."),
        )
        self.add_advanced(
            QgsProcessingParameterString("MODEL", tr("Model"), "default"),
            tr("Name of a bundled model, or the folder of another one."),
        )
        self.add_advanced(
            QgsProcessingParameterNumber(
                "GSD", tr("Work at this pixel size [m]"), DOUBLE, None, True, 0.01
            ),
            tr("Empty: the image's own, within the range that the model knows."),
        )
        self.add_advanced(
            QgsProcessingParameterNumber(
                "RENDER_SIZE", tr("Pixel size of map servers [m]"), DOUBLE, 0.3, False, 0.05, 2
            ),
            tr("At which WMS and XYZ layers are fetched. Finer than the server has is of no use."),
        )
        self.add_environment()
        self.addParameter(
            QgsProcessingParameterVectorDestination("OUTPUT", tr("Aligned footprints"), polygons[0])
        )
        self.addParameter(
            QgsProcessingParameterVectorDestination(
                "NEW", tr("Buildings without a label"), polygons[0], None, True, False
            )
        )
        for name, text in (
            ("MOVED", tr("Number moved")),
            ("KEPT", tr("Number kept")),
            ("MISSING", tr("Number not in the image")),
            ("UNSEEN", tr("Number outside the image")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, text))

    def checkParameterValues(self, parameters, context):
        ok, message = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, message
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        has_extent = parameters.get("EXTENT") not in (None, "")
        problem = self.raster_problem(layer, has_extent, accepts_no_crs=False)
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
        labels, layer = self.vector(parameters, "LABELS", context, feedback)
        with workplace() as place:
            size_m = self.parameterAsDouble(parameters, "RENDER_SIZE", context)
            scene = self._raster.file(place, self._extent, size_m, feedback, cut=True)
            line = ["align", str(scene), labels, "-o", outputs["OUTPUT"], "--overwrite"]
            line.append(f"--max-shift={self.parameterAsDouble(parameters, 'MAX_SHIFT', context)}")
            line.append(f"--model={self.parameterAsString(parameters, 'MODEL', context)}")
            if parameters.get("GSD") is not None:
                line.append(f"--gsd={self.parameterAsDouble(parameters, 'GSD', context)}")
            if layer:
                line += ["--layer", layer]
            new = self.optional_output(parameters, "NEW", context)
            if new:
                outputs["NEW"] = new
                line += ["--new", new]
            line += ["--progress", "json", "--exit-with-parent"]
            result = self.call(python, line, feedback)
        counts = {name: result[name.lower()] for name in ("MOVED", "KEPT", "MISSING", "UNSEEN")}
        text = tr("{} moved, {} kept for lack of certainty, {} not in the image, {} outside it")
        feedback.pushInfo(text.format(*counts.values()))
        style_on_load(outputs["OUTPUT"], "aligned", context)
        if "NEW" in outputs:
            style_on_load(outputs["NEW"], "footprints", context)
        return {**outputs, **counts}
