"""The map of errors: the whole scored extent at a glance, the worst places numbered on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from buildext.evaluate.report.backdrop import FINEST_M, Backdrop
from buildext.evaluate.report.chips import Place
from buildext.evaluate.report.findings import Findings
from buildext.evaluate.report.style import FALSE, MATCHED, MERGE, MISSED, SPLIT, as_jpeg
from buildext.grid.window import Window

MAP_PX = 1500
_FILL, _LINE = 0.38, 0.95
_BLANK = 40
# In the order of drawing: what comes last lies on top.
VERDICTS = (MATCHED, MISSED, FALSE, SPLIT, MERGE)


def map_pixel_m(findings: Findings) -> float:
    """Pixel of the map, so that its longer side has `MAP_PX`."""
    return max(FINEST_M, max(findings.frame.extent_xy_m) / MAP_PX)


def draw_map(findings: Findings, backdrop: Backdrop, places: Sequence[Place]) -> str:
    """The map as an `<svg>` with the places as links to their chips."""
    area = backdrop.area
    picture = backdrop.read(area)
    if picture is None:
        picture = np.full((area.height, area.width, 3), _BLANK, np.uint8)
    drawn = _paint(picture.astype(np.float32), findings, backdrop, area)
    marks = "".join(
        _mark(number, box, area, longest=max(area.height, area.width))
        for number, box in enumerate(
            backdrop.to_pixels(np.array([place.box for place in places], dtype=object)), start=1
        )
    )
    return (
        f'<svg class="map" viewBox="0 0 {area.width} {area.height}" role="img" '
        f'aria-label="map of errors"><image href="{as_jpeg(drawn)}" width="{area.width}" '
        f'height="{area.height}"/>{marks}</svg>'
    )


def _paint(
    picture: NDArray[np.float32], findings: Findings, backdrop: Backdrop, area: Window
) -> NDArray[np.uint8]:
    """Buildings over a picture: half transparent inside, opaque along the outline."""
    pred, ref = findings.pred, findings.ref
    layers = [
        backdrop.to_pixels(polygons)
        for polygons in (
            pred.polygons[~pred.unmatched],
            ref.polygons[ref.unmatched & ~ref.several],
            pred.polygons[pred.unmatched & ~pred.several],
            ref.polygons[ref.several],
            pred.polygons[pred.several],
        )
    ]
    colours = np.array([(0, 0, 0), *(verdict.rgb for verdict in VERDICTS)], np.float32)
    lines = [np.asarray(shapely.boundary(polygons), dtype=object) for polygons in layers]
    for share, shapes in ((_FILL, layers), (_LINE, lines)):
        codes = _burn(shapes, area)
        covered = codes > 0
        picture[covered] += share * (colours[codes[covered]] - picture[covered])
    return np.rint(picture).astype(np.uint8)


def _burn(layers: Sequence[NDArray[np.object_]], area: Window) -> NDArray[np.uint8]:
    """1 + the number of the last layer on each pixel of the area, 0 where there is none."""
    from rasterio.features import rasterize

    shapes = [
        (shape, code)
        for code, layer in enumerate(layers, start=1)
        for shape in layer[~shapely.is_empty(layer)]
    ]
    if not shapes:
        return np.zeros((area.height, area.width), np.uint8)
    burned: NDArray[np.uint8] = rasterize(
        shapes,
        out_shape=(area.height, area.width),
        transform=Affine.translation(area.col, area.row),
        dtype=np.uint8,
    )
    return burned


def _mark(number: int, box: shapely.Polygon, area: Window, *, longest: int) -> str:
    """A frame around a place with its number, as a link to its chip."""
    west, north, east, south = box.bounds
    x, y = west - area.col, north - area.row
    size = longest / 65
    return (
        f'<a href="#chip{number}"><title>place {number}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{east - west:.1f}" height="{south - north:.1f}"/>'
        f'<text x="{x + 0.25 * size:.1f}" y="{y + size:.1f}" font-size="{size:.1f}">{number}</text>'
        "</a>"
    )
