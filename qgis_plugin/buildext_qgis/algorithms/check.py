"""Check installation: a text to paste into an issue, whatever the state of the installation."""

from __future__ import annotations

import html
import platform
import sys
from pathlib import Path

from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputBoolean,
    QgsProcessingParameterFileDestination,
)
from qgis.PyQt.QtCore import QT_VERSION_STR

from ..i18n import tr
from ..runner import Event
from ..settings import chosen_folder, plugin_version
from .base import ENVIRONMENT, BuildextAlgorithm


class CheckAlgorithm(BuildextAlgorithm):
    """Versions, the environment, and what `buildext doctor` says."""

    def name(self):
        return "check"

    def displayName(self):
        return tr("Check installation")

    def shortDescription(self):
        return tr("Is everything there? With a report to paste into an issue")

    def tags(self):
        return tr("doctor,diagnosis,version,issue,help").split(",")

    def shortHelpString(self):
        return tr(
            "Reports the versions of QGIS, the plugin and buildext, the environment, engines, "
            "drivers, models and free disk space. Paste the report into an issue; it contains "
            "paths but no passwords."
        )

    def initAlgorithm(self, configuration=None):
        self.add_environment()
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML files (*.html)", None, True, True
            )
        )
        self.addOutput(QgsProcessingOutputBoolean("OK", tr("All is well")))

    def createCustomParametersWidget(self, parent=None):
        """No set-up is offered: the check is for when it fails."""

    def processAlgorithm(self, parameters, context, feedback):
        report = _Report(feedback)
        asked = self.parameterAsString(parameters, ENVIRONMENT, context)
        for line in (
            f"plugin: {plugin_version()}",
            f"QGIS: {Qgis.QGIS_VERSION}, Qt {QT_VERSION_STR}, GDAL {gdal.__version__}",
            f"QGIS's Python: {sys.version.split()[0]} on {platform.platform()}",
            f"environment: {asked or chosen_folder() or 'none'}",
        ):
            report.add(line)
        ok = False
        try:
            found = self.environment(parameters, context)
            report.add(f"environment's Python: {found.python_version}, buildext {found.buildext}")
            self.call(found.python, ["doctor"], feedback, report.take)
            ok = not feedback.isCanceled()
        except QgsProcessingException as error:
            report.add(str(error))
            feedback.reportError(str(error))
        report.add(tr("All is well.") if ok else tr("Something is missing: see above."))
        results = {"OK": ok}
        path = self.optional_output(parameters, "REPORT", context)
        if path:
            report.write(Path(path))
            results["REPORT"] = path
        return results


class _Report:
    """Gathers the lines of the report and shows them in the log."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line of our own."""
        self._lines.append(line)
        self._feedback.pushInfo(line)

    def take(self, event: Event) -> None:
        """Keep what the command says; the log has it already."""
        if event["event"] == "text":
            self._lines.append(event["message"])

    def write(self, path: Path) -> None:
        """Write the lines as a page from which they can be copied."""
        body = html.escape("\n".join(self._lines))
        page = f'<!DOCTYPE html><meta charset="utf-8"><title>buildext</title><pre>{body}</pre>\n'
        path.write_text(page, "utf-8")
