"""Words for the user go through `tr`, so that a translation can replace them."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

CONTEXT = "Buildext"


def tr(text: str) -> str:
    """The text in the user's language, where there is a translation."""
    return QCoreApplication.translate(CONTEXT, text)


def load_translation() -> QTranslator | None:
    """Install `i18n/buildext_<language>.qm`; the caller keeps what is returned alive."""
    path = Path(__file__).parent / "i18n" / f"buildext_{QgsApplication.locale()[:2]}.qm"
    translator = QTranslator()
    if not path.is_file() or not translator.load(str(path)):
        return None
    QCoreApplication.installTranslator(translator)
    return translator
