"""Styles of result layers.

The GeoPackages of buildext bring their style along. Other formats cannot, so the same styles lie in
`styles/` and are put on every result layer that QGIS loads.
"""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingContext, QgsProcessingLayerPostProcessorInterface
from qgis.PyQt import sip

STYLES = Path(__file__).parent / "styles"


class StyleOnLoad(QgsProcessingLayerPostProcessorInterface):
    """Puts a style on a layer once it is in the project."""

    def __init__(self, style: Path) -> None:
        super().__init__()
        self._style = style

    def postProcessLayer(self, layer, context, feedback):
        message, ok = layer.loadNamedStyle(str(self._style))
        if not ok:
            feedback.pushWarning(message)
        layer.triggerRepaint()


# QGIS keeps a bare pointer to a processor and deletes it with the context of the run: until then
# Python must not collect it, and no two runs may share one.
_alive: list[StyleOnLoad] = []


def style_on_load(output: str, style: str, context: QgsProcessingContext) -> None:
    """Have `styles/<style>.qml` put on the output, where it will be loaded."""
    if not context.willLoadLayerOnCompletion(output):
        return
    processor = StyleOnLoad(STYLES / f"{style}.qml")
    _alive[:] = [one for one in _alive if not sip.isdeleted(one)]
    _alive.append(processor)
    context.layerToLoadOnCompletionDetails(output).setPostProcessor(processor)
