"""Chips: the places where most is wrong, each with the image, the reference and the prediction.

Places are taken in the order of the wrong area of their building (see `findings`); a building near
the middle of a place that was taken already is passed over, so that one bad block does not fill
the page.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.report.backdrop import Backdrop
from buildext.evaluate.report.findings import Buildings, Findings
from buildext.evaluate.report.style import FALSE, MATCHED, MISSED, as_jpeg, shrink
from buildext.grid.window import Window

WORST = 24
PICTURE_PX = 360
# A place shows its building with some surroundings, and neither a shed nor a district alone.
_SURROUNDINGS = 1.7
_SIDE_M = (30.0, 250.0)
# Of a place's side: buildings this near to its middle are not shown once more.
_TAKEN = 0.35


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the ground around a building that is wrong.

    Attributes:
        is_ref: the building is a true one; else a prediction.
        index: of the building in its layer.
        middle_xy_m: of the place, in the ground plane.
        side_m: of the place.
    """

    is_ref: bool
    index: int
    middle_xy_m: tuple[float, float]
    side_m: float

    @property
    def box(self) -> shapely.Polygon:
        """The place in the ground plane."""
        (x, y), half = self.middle_xy_m, 0.5 * self.side_m
        return shapely.box(x - half, y - half, x + half, y + half)


def worst_places(findings: Findings, count: int = WORST) -> list[Place]:
    """The places with the most wrong area, the worst first."""
    ref, pred = findings.ref, findings.pred
    false = np.flatnonzero(pred.unmatched)
    wrong = np.concatenate([ref.wrong_m2, pred.wrong_m2[false]])
    index = np.concatenate([np.arange(len(ref)), false])
    polygons = np.concatenate([ref.polygons, pred.polygons[false]])
    bounds = shapely.bounds(polygons)
    middles = 0.5 * (bounds[:, :2] + bounds[:, 2:])
    sides = np.clip(_SURROUNDINGS * (bounds[:, 2:] - bounds[:, :2]).max(axis=1), *_SIDE_M)
    free = wrong > 0
    places: list[Place] = []
    for i in np.argsort(-wrong, kind="stable"):
        if len(places) == count or wrong[i] <= 0:
            break
        if not free[i]:
            continue
        side = float(sides[i])
        x, y = (
            _inside(float(middle), side, extent)
            for middle, extent in zip(middles[i], findings.frame.extent_xy_m, strict=True)
        )
        places.append(Place(bool(i < len(ref)), int(index[i]), (x, y), side))
        free &= (np.abs(middles - (x, y)) > _TAKEN * side).any(axis=1)
    return places


def _inside(middle: float, side: float, extent: float) -> float:
    """The middle of a place moved so that, where the frame is wide enough, all of it is inside."""
    return min(max(middle, 0.5 * side), extent - 0.5 * side) if side < extent else 0.5 * extent


def describe(findings: Findings, place: Place) -> str:
    """What is wrong at a place, in a few words."""
    side = findings.ref if place.is_ref else findings.pred
    i = place.index
    area = f"{shapely.area(side.polygons[i]):.0f} m²"
    iou = side.best_iou[i]
    overlap = f"best IoU {iou:.2f}" if iou >= 0.005 else "nothing there"
    if not place.is_ref:
        words = ["merge" if side.several[i] else "false", area]
        words.append(f"over {side.contents[i]} true buildings" if side.several[i] else overlap)
        if findings.confidence is not None:
            words.append(f"confidence {findings.confidence[i]:.2f}")
        return ", ".join(words)
    if side.matched[i]:
        words = ["matched", area, f"IoU {iou:.2f}", f"{side.wrong_m2[i]:.0f} m² differ"]
    else:
        words = ["split" if side.several[i] else "missed", area]
        words.append(f"into {side.contents[i]} parts" if side.several[i] else overlap)
    if findings.heights_m is not None and not math.isnan(findings.heights_m[i]):
        words.append(f"{findings.heights_m[i]:.0f} m high")
    return ", ".join(words)


class ChipMaker:
    """Draws places; the layers' search trees are built once."""

    def __init__(self, findings: Findings, backdrop: Backdrop) -> None:
        self._findings, self._backdrop = findings, backdrop
        self._trees = [shapely.STRtree(side.polygons) for side in (findings.ref, findings.pred)]

    def draw(self, place: Place, number: int) -> str:
        """A place as an HTML figure: image (if there is one), reference, prediction."""
        window = self._window(place)
        name = f"chip{number}"
        picture = self._backdrop.read(window)
        panels = []
        if picture is not None:
            address = as_jpeg(shrink(picture, PICTURE_PX))
            image = (
                f'<image id="{name}i" href="{address}" width="{window.width}" '
                f'height="{window.height}" preserveAspectRatio="none"/>'
            )
            panels.append(_panel(window, "image", image))
        ground = f'<use href="#{name}i"/>' if picture is not None else ""
        findings = self._findings
        focus = (place.index, None) if place.is_ref else (None, place.index)
        for title, side, tree, wrong, chosen in zip(
            ("reference", "prediction"),
            (findings.ref, findings.pred),
            self._trees,
            (MISSED.colour, FALSE.colour),
            focus,
            strict=True,
        ):
            near = np.sort(tree.query(place.box))
            outlines = self._outlines(side, near, window, wrong, chosen)
            panels.append(_panel(window, title, ground + outlines))
        caption = html.escape(f"{describe(findings, place)}; {place.side_m:.0f} m wide")
        return (
            f'<figure id="{name}"><div>{"".join(panels)}</div>'
            f"<figcaption><b>{number}</b> {caption}</figcaption></figure>\n"
        )

    def _window(self, place: Place) -> Window:
        """The pixels of a place: square, as far as rounding allows."""
        there = self._backdrop.to_pixels(np.array([place.box], dtype=object))[0]
        west, north, east, south = (round(value) for value in there.bounds)
        return Window(north, west, max(1, south - north), max(1, east - west))

    def _outlines(
        self,
        side: Buildings,
        near: NDArray[np.intp],
        window: Window,
        wrong: str,
        chosen: int | None,
    ) -> str:
        """Outlines of the buildings in a window as SVG paths, the chosen one drawn stronger."""
        polygons = self._backdrop.to_pixels(side.polygons[near])
        # Half a pixel of the picture on the page is not to be seen.
        step = window.width / PICTURE_PX
        polygons = shapely.simplify(polygons, 0.5 * step, preserve_topology=True)
        paths = []
        for i, polygon in zip(near, polygons, strict=True):
            colour = MATCHED.colour if side.matched[i] or side.excused[i] else wrong
            strong = ' class="focus"' if i == chosen else ""
            data = _path_data(polygon, window)
            paths.append(f'<path{strong} stroke="{colour}" fill="{colour}" d="{data}"/>')
        return "".join(paths)


def _panel(window: Window, title: str, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {window.width} {window.height}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{content}</svg>"
    )


def _path_data(polygon: shapely.Geometry, window: Window) -> str:
    """The rings of a polygon as the `d` of a path, from the window's upper left corner."""
    digits = 1 if window.width > 60 else 2
    parts = []
    for part in shapely.get_parts(polygon):
        for ring in shapely.get_rings(part):
            xy = shapely.get_coordinates(ring)[:-1] - (window.col, window.row)
            parts.append("M" + " ".join(f"{x:.{digits}f},{y:.{digits}f}" for x, y in xy) + "Z")
    return "".join(parts)
