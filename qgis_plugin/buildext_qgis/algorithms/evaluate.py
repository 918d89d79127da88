"""Evaluate footprints by height class: two layers in, scores and a report page out."""

from __future__ import annotations

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QDesktopServices

from ..i18n import tr
from ..inputs import raster_input
from .base import BuildextAlgorithm, Parameters, corners, workplace, write_mask

MATCHING = ("optimal", "spacenet")
DOUBLE = QgsProcessingParameterNumber.Type.Double
_RASTERS = ("HEIGHT_RASTER", "IMAGE", "PROBABILITY")


class EvaluateAlgorithm(BuildextAlgorithm):
    """`buildext evaluate`."""

    stages = {"scoring pixels": (0, 60)}

    def name(self):
        return "evaluate"

    def displayName(self):
        return tr("Evaluate footprints by height class")

    def shortDescription(self):
        return tr("How good footprints are against a reference, for low and for tall buildings")

    def tags(self):
        return tr("buildings,accuracy,F1,IoU,height,validation,report").split(",")

    def shortHelpString(self):
        return tr(
            "Scores buildings against a reference: pixels, boundaries, whole buildings (matched "
            "one to one at the given IoU) and the shapes of matched ones, with 95 % intervals. "
            "With heights [m], from a field of the reference or a raster of heights above ground, "
            "all of it <b>by height class</b>.\n\n"
            "Both layers may be polygons or masks (a raster in which values above 0 are "
            "building), in different CRS. What is scored is the extent; without one, the bounding "
            "box of the reference: outside it nothing is known.\n\n"
            "The report is one page for the browser, with plots and the worst places on the "
            "image. The error layers show found, false and missed buildings, splits and merges."
        )

    def initAlgorithm(self, configuration=None):
        polygon, raster = (
            QgsProcessing.SourceType.TypeVectorPolygon,
            QgsProcessing.SourceType.TypeRaster,
        )
        self.add(
            QgsProcessingParameterMapLayer(
                "PREDICTION", tr("Footprints to score"), None, False, [polygon, raster]
            ),
            tr("Polygons, or a mask."),
        )
        self.add(
            QgsProcessingParameterMapLayer(
                "REFERENCE", tr("Reference"), None, False, [polygon, raster]
            ),
            tr("What is true: polygons, or a mask."),
        )
        self.add(
            QgsProcessingParameterField(
                "HEIGHT_FIELD",
                tr("Height field of the reference [m]"),
                None,
                "REFERENCE",
                QgsProcessingParameterField.DataType.Numeric,
                False,
                True,
            ),
            tr("Height of each building above ground in metres."),
        )
        self.add(
            QgsProcessingParameterRasterLayer("HEIGHT_RASTER", tr("Height raster [m]"), None, True),
            tr("Heights above ground (nDSM), in place of a field."),
        )
        self.add(
            QgsProcessingParameterString("CLASSES", tr("Limits of the classes [m]"), "12,36,100"),
            tr("Low-rise, mid-rise, high-rise and skyscraper by default."),
        )
        self.add(
            QgsProcessingParameterExtent("EXTENT", tr("Extent"), optional=True),
            tr("What is scored. Empty: the bounding box of the reference."),
        )
        self.add(
            QgsProcessingParameterFeatureSource("MASK", tr("Mask layer"), [polygon], None, True),
            tr("Score only inside these polygons: where the reference is complete."),
        )
        self.add(
            QgsProcessingParameterRasterLayer("IMAGE", tr("Image for the report"), None, True),
            tr("The worst places are shown on it."),
        )
        self._add_advanced_parameters()
        self.add_environment()
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML files (*.html)", None, True, True
            )
        )
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "ERRORS", tr("Error layers"), "GeoPackage (*.gpkg)", None, True, False
            )
        )
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "SCORES", tr("Scores"), "JSON files (*.json)", None, True, False
            )
        )
        for name, text in (
            ("PIXEL_F1", tr("F1 of pixels")),
            ("PIXEL_IOU", tr("IoU of pixels")),
            ("OBJECT_F1", tr("F1 of buildings")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, text))

    def _add_advanced_parameters(self) -> None:
        number = QgsProcessingParameterNumber
        self.add_advanced(
            QgsProcessingParameterBoolean("OPEN", tr("Open the report at the end"), False),
            tr("In the browser. It stands in the Results Viewer anyway."),
        )
        self.add_advanced(
            number("IOU", tr("Smallest IoU of a match"), DOUBLE, 0.5, False, 0.05, 1),
            tr("How much two buildings must overlap to be the same."),
        )
        names = [tr("The best one-to-one matching"), tr("Greedy, as SpaceNet does")]
        self.add_advanced(
            QgsProcessingParameterEnum("MATCHING", tr("Matching"), names, False, 0),
            tr("How buildings find their partners."),
        )
        self.add_advanced(
            number("RESOLUTION", tr("Pixel of the scored grid [m]"), DOUBLE, 0.3, False, 0.01),
            tr("Where no mask gives one."),
        )
        self.add_advanced(
            number("BOUNDARY", tr("Tolerance of boundaries [m]"), DOUBLE, None, True, 0.01),
            tr("Empty: 0.5 m, or two pixels where that is more."),
        )
        self.add_advanced(
            QgsProcessingParameterRasterLayer("PROBABILITY", tr("Probability raster"), None, True),
            tr("Shows whether the probabilities are right, and the best threshold."),
        )
        self.add_advanced(
            number("OFF_NADIR", tr("Off-nadir angle [degrees]"), DOUBLE, None, True, 0, 90),
            tr("Angle of the view, for the report."),
        )

    def prepareAlgorithm(self, parameters, context, feedback):
        self._rasters = {}
        for name in (*_RASTERS, "PREDICTION", "REFERENCE"):
            layer = self.parameterAsLayer(parameters, name, context)
            if isinstance(layer, QgsRasterLayer):
                self._rasters[name] = raster_input(layer)
        reference = self.parameterAsLayer(parameters, "REFERENCE", context)
        if reference is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "REFERENCE"))
        self._crs = reference.crs()
        return True

    def processAlgorithm(self, parameters, context, feedback):
        python = self.environment(parameters, context).python
        outputs = {}
        with workplace() as place:
            files = {}
            for name, raster in self._rasters.items():
                folder = place / name.lower()
                folder.mkdir()
                files[name] = str(raster.file(folder, None, 0.3, feedback))
            pred, layer = self._side("PREDICTION", files, parameters, context, feedback)
            ref, ref_layer = self._side("REFERENCE", files, parameters, context, feedback)
            line = ["evaluate", pred, ref, "--overwrite"]
            for option, value in (
                ("--layer", layer),
                ("--ref-layer", ref_layer),
                ("--height-raster", files.get("HEIGHT_RASTER")),
                ("--probability", files.get("PROBABILITY")),
            ):
                line += [option, value] if value else []
            line += self._options(parameters, context)
            mask = self.polygons(parameters, "MASK", context)
            if mask is not None:
                line.append(f"--aoi={write_mask(mask, place, context)}")
            for name, option in (
                ("REPORT", "--report"),
                ("ERRORS", "--errors"),
                ("SCORES", "--json"),
            ):
                path = self.optional_output(parameters, name, context)
                if path:
                    outputs[name] = path
                    line += [option, path]
            if "REPORT" in outputs and "IMAGE" in files:
                line += ["--image", files["IMAGE"]]
            line += ["--progress", "json", "--exit-with-parent"]
            scores = self.call(python, line, feedback)["evaluation"]
        _tell(scores, feedback)
        if "ERRORS" in outputs:
            _load_error_layers(outputs["ERRORS"], context)
        self._page = outputs.get("REPORT") if self._opens(parameters, context) else None
        return {
            **outputs,
            "PIXEL_F1": scores["pixels"]["f1"],
            "PIXEL_IOU": scores["pixels"]["iou"],
            "OBJECT_F1": scores["objects"]["f1"],
        }

    def postProcessAlgorithm(self, context, feedback):
        """Open the page; QGIS calls this in the main thread, where windows may be opened."""
        if self._page:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self._page))
        return {}

    def _opens(self, parameters: Parameters, context: QgsProcessingContext) -> bool:
        return self.parameterAsBool(parameters, "OPEN", context)

    def _side(
        self,
        name: str,
        files: dict[str, str],
        parameters: Parameters,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> tuple[str, str]:
        """File and layer of one of the two sides; a mask has no layer."""
        if name in files:
            return files[name], ""
        return self.vector(parameters, name, context, feedback)

    def _options(self, parameters: Parameters, context: QgsProcessingContext) -> list[str]:
        line = [f"--classes={self.parameterAsString(parameters, 'CLASSES', context)}"]
        field = self.parameterAsString(parameters, "HEIGHT_FIELD", context)
        if field:
            line.append(f"--height-field={field}")
        if parameters.get("EXTENT") not in (None, ""):
            extent = self.parameterAsExtent(parameters, "EXTENT", context, self._crs)
            line.append(f"--extent={corners(extent)}")
        for name, option in (
            ("IOU", "--iou"),
            ("RESOLUTION", "--resolution"),
            ("BOUNDARY", "--boundary"),
            ("OFF_NADIR", "--off-nadir"),
        ):
            if parameters.get(name, self.parameterDefinition(name).defaultValue()) is not None:
                line.append(f"{option}={self.parameterAsDouble(parameters, name, context)}")
        line.append(f"--matching={MATCHING[self.parameterAsEnum(parameters, 'MATCHING', context)]}")
        return line


def _tell(scores: dict, feedback: QgsProcessingFeedback) -> None:
    """The scores that people ask for first, in the log."""
    groups = [(tr("all"), scores), *((one["name"], one) for one in scores["classes"])]
    for name, one in groups:
        pixels, objects = one["pixels"], one["objects"]
        feedback.pushInfo(
            tr("{}: pixel F1 {}, IoU {}; building F1 {} ({} predicted, {} true)").format(
                name,
                _number(pixels["f1"]),
                _number(pixels["iou"]),
                _number(objects["f1"]),
                objects["predicted"],
                objects["true"],
            )
        )
    for note in scores["notes"]:
        feedback.pushInfo(note)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _load_error_layers(path: str, context: QgsProcessingContext) -> None:
    """Have all layers of the GeoPackage added to the project; they bring their styles."""
    if context.project() is None:
        return
    whole = QgsVectorLayer(path, "", "ogr")
    for sub in whole.dataProvider().subLayers():
        name = sub.split("!!::!!")[1]
        if name == "layer_styles":
            continue
        details = QgsProcessingContext.LayerDetails(name, context.project(), name)
        context.addLayerToLoadOnCompletion(f"{path}|layername={name}", details)
