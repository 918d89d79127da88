"""What extraction from one image and from a whole city have in common: parameters and options."""

from __future__ import annotations

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from ..i18n import tr
from .base import BuildextAlgorithm, Parameters

REGULARIZE = ("right-angles", "right-angles-and-diagonals", "any-angle", "simplify", "none")
ENGINES = ("auto", "openvino", "onnxruntime", "torch")
DOUBLE = QgsProcessingParameterNumber.Type.Double
INTEGER = QgsProcessingParameterNumber.Type.Integer
# Parameters that are an option of the command as they stand: what is not given is not passed on.
_NUMBERS = {
    "THRESHOLD": "--threshold",
    "CORE_THRESHOLD": "--core-threshold",
    "MIN_AREA": "--min-area",
    "TOLERANCE": "--tolerance",
    "MIN_HOLE": "--min-hole",
    "GSD": "--gsd",
    "NODATA": "--nodata",
    "TILE": "--tile",
    "OVERLAP": "--overlap",
    "THREADS": "--threads",
}
_WHOLE = frozenset({"TILE", "OVERLAP", "THREADS"})
_TEXTS = {"MODEL": "--model", "BANDS": "--bands", "SCALE": "--scale", "DEVICE": "--device"}


class ExtractionAlgorithm(BuildextAlgorithm):
    """An algorithm that finds buildings."""

    def add_extraction_parameters(self) -> None:
        """Those that people change."""
        self.add(
            QgsProcessingParameterNumber(
                "THRESHOLD", tr("Threshold"), DOUBLE, None, True, 0.01, 0.99
            ),
            tr("Probability down to which a building reaches. Empty: the model's own."),
        )
        self.add(
            QgsProcessingParameterNumber(
                "MIN_AREA", tr("Smallest area [m²]"), DOUBLE, 5.0, True, 0
            ),
            tr("Smaller buildings are left out."),
        )
        names = [
            tr("Right angles"),
            tr("Right angles and diagonals"),
            tr("Straight walls at any angle"),
            tr("Only simplified"),
            tr("None: the outline of the pixels"),
        ]
        self.add(
            QgsProcessingParameterEnum("REGULARIZE", tr("Outlines"), names, False, 0),
            tr("How outlines are squared up. No building is dropped; walls in common stay so."),
        )
        self.add(
            QgsProcessingParameterNumber(
                "TOLERANCE", tr("Tolerance [m]"), DOUBLE, None, True, 0.01
            ),
            tr("How far an outline may move. Empty: a few pixels."),
        )

    def add_advanced_extraction_parameters(self) -> None:
        """Those that most people leave alone."""
        number = QgsProcessingParameterNumber
        self.add_advanced(
            QgsProcessingParameterString("MODEL", tr("Model"), "default"),
            tr(
                "Name of a bundled model (default, or accurate: half as slow again and surer in "
                "places unlike those of the training), or the folder of another one."
            ),
        )
        self.add_advanced(
            number("CORE_THRESHOLD", tr("Core threshold"), DOUBLE, None, True, 0.01, 0.99),
            tr("Probability where a building begins. Higher: fewer. Empty: the model's own."),
        )
        self.add_advanced(
            QgsProcessingParameterBoolean("SEPARATE", tr("Separate touching buildings"), True),
            tr("Split blocks along the seams that the model sees."),
        )
        self.add_advanced(
            number("MIN_HOLE", tr("Smallest hole [m²]"), DOUBLE, 4.0, True, 0),
            tr("Smaller courtyards are filled."),
        )
        self.add_advanced(
            number("GSD", tr("Work at this pixel size [m]"), DOUBLE, None, True, 0.01),
            tr("Empty: the image's own, within the range that the model knows."),
        )
        self.add_advanced(
            QgsProcessingParameterString("BANDS", tr("Bands"), None, False, True),
            tr("Numbers of red, green and blue, such as 5,3,2. Empty: what the image says."),
        )
        self.add_advanced(
            QgsProcessingParameterString("SCALE", tr("Range of values"), None, False, True),
            tr("Values shown as black and white, such as 0,2047. Empty: from the image's values."),
        )
        self.add_advanced(
            number("NODATA", tr("No-data value"), DOUBLE, None, True),
            tr("In place of the image's own."),
        )
        self.add_advanced(
            QgsProcessingParameterEnum("ENGINE", tr("Engine"), list(ENGINES), False, 0),
            tr("auto is OpenVINO on the processor; torch needs an environment with torch."),
        )
        self.add_advanced(
            QgsProcessingParameterString("DEVICE", tr("Device"), "auto"),
            tr("auto, cpu, or cuda with the engine torch."),
        )
        self.add_advanced(
            number("THREADS", tr("Processor threads"), INTEGER, 0, False, 0), tr("0 takes all.")
        )
        self.add_advanced(
            number("TILE", tr("Tile [pixels]"), INTEGER, None, True, 64),
            tr("Smaller takes less memory. Empty: the model's own."),
        )
        self.add_advanced(
            number("OVERLAP", tr("Overlap of tiles [pixels]"), INTEGER, None, True, 0),
            tr("Empty: the model's own."),
        )

    def extraction_options(
        self, parameters: Parameters, context: QgsProcessingContext
    ) -> list[str]:
        """The options of the command for these parameters."""
        line = []
        for name, option in _NUMBERS.items():
            if parameters.get(name, self.parameterDefinition(name).defaultValue()) is not None:
                read = self.parameterAsInt if name in _WHOLE else self.parameterAsDouble
                line.append(f"{option}={read(parameters, name, context)}")
        for name, option in _TEXTS.items():
            text = self.parameterAsString(parameters, name, context).strip()
            if text:
                line.append(f"{option}={text}")
        shape = REGULARIZE[self.parameterAsEnum(parameters, "REGULARIZE", context)]
        line += ["--simplify"] if shape == "simplify" else [f"--regularize={shape}"]
        line.append(f"--engine={ENGINES[self.parameterAsEnum(parameters, 'ENGINE', context)]}")
        if not self.parameterAsBool(parameters, "SEPARATE", context):
            line.append("--merge")
        return line
