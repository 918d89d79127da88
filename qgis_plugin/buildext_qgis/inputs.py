"""Raster layers as files that another process can open.

A layer in QGIS is more than a file: it may be drawn by a server, lie in memory, hang inside a
GeoPackage, or carry a CRS that the user gave it and the file does not know. Buildext runs in a
process of its own and opens files. Three ways lead there, the cheapest first:

* **as it is**: the file, where it says all that the layer says;
* **a view**: a VRT beside it (a few lines of XML) with the CRS of the layer, or a part of it;
* **a copy**: the pixels of a part, where no other process can open the source, or the picture that
  a server draws (`rendering.py`).

What needs the layer is asked in the main thread (`raster_input`); what takes time is done later and
elsewhere (`RasterInput.file`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsRasterDataProvider,
    QgsRasterLayer,
    QgsRectangle,
)

from .i18n import tr
from .rendering import render_to_file

FILE, GDAL_SOURCE, SERVER = "file", "gdal source", "server"
SERVERS = frozenset({"wms", "wcs", "arcgismapserver", "arcgisfeatureserver"})


@dataclass(frozen=True)
class RasterInput:
    """A raster layer, taken apart: what is needed to make a file of it in any thread.

    Attributes:
        kind: how its source can be reached: `FILE`, `GDAL_SOURCE` or `SERVER`.
        source: a path, or GDAL's name for it.
        crs: of the layer; invalid where it has none.
        crs_differs: the layer has a CRS that the file does not say.
        extent: of the layer, in `crs`.
        provider: a copy of the provider, for servers alone.
    """

    kind: str
    source: str
    crs: QgsCoordinateReferenceSystem
    crs_differs: bool
    extent: QgsRectangle
    provider: QgsRasterDataProvider | None = None

    def file(
        self,
        folder: Path,
        extent: QgsRectangle | None,
        pixel_m: float,
        feedback: QgsProcessingFeedback,
        *,
        cut: bool = False,
    ) -> Path:
        """A file with this raster.

        Args:
            folder: where a view or a copy may be put.
            extent: the part that is needed, in the layer's CRS; None is all.
            pixel_m: size of a pixel in metres, for what a server draws.
            feedback: gets progress, and is asked whether the user cancelled.
            cut: the file must hold the part and no more.

        Raises:
            QgsProcessingException: there is no such file to be had.
        """
        if self.kind == SERVER:
            if extent is None:
                raise QgsProcessingException(no_extent(self.source))
            target = folder / "rendered.tif"
            return render_to_file(self.provider, self.crs, extent, pixel_m, target, feedback)
        if self.kind == GDAL_SOURCE:
            return self._translate(folder / "copy.tif", extent, "GTiff", feedback)
        if self.crs_differs or (cut and extent is not None):
            return self._translate(folder / "view.vrt", extent if cut else None, "VRT", feedback)
        return Path(self.source)

    def _translate(
        self, target: Path, extent: QgsRectangle | None, form: str, feedback: QgsProcessingFeedback
    ) -> Path:
        options = {"format": form}
        if self.crs_differs:
            options["outputSRS"] = self.crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT2_2019)
        if extent is not None:
            part = extent.intersect(self.extent)
            if part.isEmpty():
                raise QgsProcessingException(tr("The extent lies outside the raster."))
            box = (part.xMinimum(), part.yMaximum(), part.xMaximum(), part.yMinimum())
            options["projWin"] = box
        if form == "GTiff":
            feedback.pushInfo(tr("Copying the part that is needed out of {}").format(self.source))
            options["creationOptions"] = ["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"]
            options["callback"] = lambda done, *_: _go_on(feedback, done)
        gdal.UseExceptions()
        try:
            gdal.Translate(str(target), self.source, **options)
        except RuntimeError as error:
            text = tr("The raster {} could not be read: {}")
            raise QgsProcessingException(text.format(self.source, error)) from error
        return target


def raster_input(layer: QgsRasterLayer) -> RasterInput:
    """Take a layer apart; to be called in the main thread.

    Raises:
        QgsProcessingException: a layer of a kind that cannot become a file.
    """
    problem = refusal(layer)
    if problem:
        raise QgsProcessingException(problem)
    kind = FILE
    provider = None
    if layer.providerType() in SERVERS:
        kind, provider = SERVER, layer.dataProvider().clone()
    elif not Path(layer.source()).is_file():
        kind = GDAL_SOURCE
    differs = False
    if kind != SERVER and layer.crs().isValid():
        differs = layer.dataProvider().crs() != layer.crs()
    return RasterInput(kind, layer.source(), layer.crs(), differs, layer.extent(), provider)


def refusal(layer: QgsRasterLayer) -> str:
    """Why a layer cannot be used whatever the parameters are; empty where it can."""
    kind = layer.providerType()
    if kind != "gdal" and kind not in SERVERS:
        text = tr(
            "The layer “{}” comes from the provider “{}”, which another program cannot read. "
            "Save it as GeoTIFF (Export → Save As…) and use that."
        )
        return text.format(layer.name(), kind)
    return ""


def no_extent(name: str) -> str:
    """What is said about a server's layer without an extent."""
    text = tr(
        "“{}” is drawn by a server and has no end. Give an extent (such as the map canvas): that "
        "part is fetched at the pixel size under “Advanced”, and buildings are extracted from it. "
        "Mind the terms of use of the server."
    )
    return text.format(name)


def no_crs(name: str) -> str:
    """What is said about a raster without CRS."""
    text = tr(
        "The raster “{}” has no coordinate reference system, so its metres are unknown. Give the "
        "layer one (Layer → Set CRS), or tick “Accept a raster without CRS” under “Advanced”."
    )
    return text.format(name)


def _go_on(feedback: QgsProcessingFeedback, done: float) -> int:
    """GDAL's callback: 1 goes on, 0 stops."""
    feedback.setProgress(100 * done)
    return 0 if feedback.isCanceled() else 1
