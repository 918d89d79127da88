"""The picture that a map server draws of an extent, as a GeoTIFF.

WMS, WMTS and XYZ layers have no pixels of their own: a server draws them at whatever size it is
asked for. Fetching everything is neither possible nor allowed, so a part is asked for, at a pixel
size that the user gives, and no more than `MAX_PIXELS`. Pixels that the server left transparent
become invalid through the alpha band.
"""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsDistanceArea,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterBlockFeedback,
    QgsRasterDataProvider,
    QgsRasterFileWriter,
    QgsRasterPipe,
    QgsRectangle,
)

from .i18n import tr

MAX_PIXELS = 100_000_000


def size_in_pixels(
    extent: QgsRectangle, crs: QgsCoordinateReferenceSystem, pixel_m: float
) -> tuple[int, int]:
    """Columns and rows of an extent at a pixel size in true metres.

    Web-Mercator's "metres" grow with the latitude and degrees are none at all, so the middle lines
    of the extent are measured on the ellipsoid.
    """
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, QgsCoordinateTransformContext())
    measure.setEllipsoid(crs.ellipsoidAcronym() or "EPSG:7030")
    x, y = extent.center().x(), extent.center().y()
    west, east = QgsPointXY(extent.xMinimum(), y), QgsPointXY(extent.xMaximum(), y)
    south, north = QgsPointXY(x, extent.yMinimum()), QgsPointXY(x, extent.yMaximum())
    width_m, height_m = measure.measureLine(west, east), measure.measureLine(south, north)
    return max(1, round(width_m / pixel_m)), max(1, round(height_m / pixel_m))


def render_to_file(
    provider: QgsRasterDataProvider,
    crs: QgsCoordinateReferenceSystem,
    extent: QgsRectangle,
    pixel_m: float,
    target: Path,
    feedback: QgsProcessingFeedback,
) -> Path:
    """Fetch an extent and write it.

    Raises:
        QgsProcessingException: too much was asked for, or the server did not deliver.
    """
    columns, rows = size_in_pixels(extent, crs, pixel_m)
    if columns * rows > MAX_PIXELS:
        text = tr(
            "The extent is {} × {} pixels at {} m; at most {} million are fetched from a server. "
            "Choose a smaller extent or a larger pixel."
        )
        raise QgsProcessingException(text.format(columns, rows, pixel_m, MAX_PIXELS // 1_000_000))
    text = tr("Fetching {} × {} pixels of {} m from the server")
    feedback.pushInfo(text.format(columns, rows, pixel_m))
    pipe = QgsRasterPipe()
    pipe.set(provider.clone())
    watch = QgsRasterBlockFeedback()
    watch.progressChanged.connect(feedback.setProgress)
    feedback.canceled.connect(watch.cancel)
    writer = QgsRasterFileWriter(str(target))
    writer.setCreateOptions(["TILED=YES", "COMPRESS=DEFLATE"])
    context = QgsProject.instance().transformContext()
    failed = writer.writeRaster(pipe, columns, rows, extent, crs, context, watch)
    if feedback.isCanceled():
        raise QgsProcessingException(tr("Cancelled."))
    problems = "; ".join(watch.errors())
    if failed or problems:
        text = tr("The server did not deliver the picture: {}")
        raise QgsProcessingException(text.format(problems or tr("error {}").format(int(failed))))
    return target
