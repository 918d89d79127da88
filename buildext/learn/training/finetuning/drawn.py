"""What a person drew on a scene: some buildings, and perhaps where the drawing is complete.

Twenty outlines in a town say nothing of the other thousand roofs. So the question is where a label
is *known*. With an area it is what lies inside. Without one it is each outline and a ring of
`RING_M` around it, for whoever draws a building has looked at its surroundings; less what the model
takes for another building there, which the person may simply not have drawn. A thin rim along an
outline is no other building but the model's own error, and stays known: what `SLIVER_M` of erosion
removes does not count.

    scene    ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒       ▒ unknown
    known    ▒▒░░░░░░░▒▒▒▒▒▒▒▒▒▒▒       ░ background
             ▒▒░██████░▒▓▓▓▓▒▒▒▒▒       █ drawn
             ▒▒░██████░▒▓▓▓▓▒▒▒▒▒       ▓ another building, as the model sees it
             ▒▒░░░░░░░▒▒▒▒▒▒▒▒▒▒▒
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from buildext.errors import LabelError
from buildext.grid.window import Window
from buildext.learn.training.data.labels import read_layer
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.monitor import THRESHOLD
from buildext.scene import Scene

log = logging.getLogger(__name__)

RING_M = 5.0
SLIVER_M = 0.75
# The seam to a building that was not drawn is unknown, too.
SEAM_M = 1.0
# What is visible around what was drawn.
CONTEXT_M = 32.0
MAX_PIXELS = 120_000_000
# Neighbours that share a wall may overlap by this share of the smaller one.
OVERLAP = 0.02
# Fewer pairs of touching labels say nothing of seams: the network would learn that there are none.
SEAMS = 3


@dataclass(frozen=True, slots=True)
class Drawing:
    """Outlines in the scene's CRS.

    Attributes:
        buildings: polygons, those on the scene only.
        areas: polygons inside which all buildings are drawn; None: not said.
        instances: whether the outlines teach where touching buildings part: none covers another,
            and there are some that touch.
    """

    buildings: NDArray[Any]
    areas: NDArray[Any] | None
    instances: bool


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of a scene with what was drawn on it.

    Attributes:
        scene: on the model's grid; label `i` is outline `i - 1` of the drawing.
        transform: its pixel → CRS.
    """

    scene: LabelledScene
    transform: Affine


def read_drawing(labels: Path, area: Path | None, scene: Scene) -> Drawing:
    """Read what was drawn, and keep what lies on the scene.

    Raises:
        LabelError: a file cannot be used, or nothing of it lies on the scene.
    """
    extent = outline_of(scene)
    found = read_layer(labels, None, (), scene.crs)
    shapes = found.shapes[found.usable]
    if not shapes.size:
        raise LabelError(
            f"got {labels} without any polygon", hint="draw some buildings, about twenty"
        )
    here = shapes[shapely.intersects(shapes, extent)]
    if not here.size:
        raise LabelError(
            f"got {labels}, which lies outside the scene: labels {_span(shapes)}, scene "
            f"{_span(extent)} (west, south, east, north in {scene.crs})",
            hint="check that the labels belong to this scene, and their CRS",
        )
    if off := len(shapes) - len(here):
        log.warning("%s: %d of %d polygons lie off the scene", labels, off, len(shapes))
    areas = None
    if area is not None:
        layer = read_layer(area, None, (), scene.crs)
        areas = shapely.intersection(layer.shapes[layer.usable], extent)
        areas = areas[shapely.area(areas) > 0]
        if not areas.size:
            raise LabelError(
                f"got the area {area}, of which nothing lies on the scene",
                hint="draw the area around the labels",
            )
    pixel = abs(scene.transform.a)
    return Drawing(here, areas, not _overlap(here) and _touching(here, pixel) >= SEAMS)


def outline_of(scene: Scene) -> Any:
    """The scene's rectangle in its CRS."""
    corners = [(0, 0), (scene.width, 0), (scene.width, scene.height), (0, scene.height)]
    return shapely.Polygon([scene.transform @ corner for corner in corners])


def cut_patches(scene: Scene, drawing: Drawing, name: str) -> list[Patch]:
    """The parts of a scene around what was drawn, nothing yet known.

    Raises:
        LabelError: they are too large to be held in memory.
    """
    patches = []
    windows = _windows(scene, drawing)
    total = sum(window.pixels for window in windows)
    if total > MAX_PIXELS:
        raise LabelError(
            f"the labels are spread over {total / 1e6:.0f} million pixels; expected at most "
            f"{MAX_PIXELS / 1e6:.0f}",
            hint="fine-tune on the buildings of a smaller part of the scene",
        )
    for number, window in enumerate(windows, start=1):
        pixels, valid = scene.read(window)
        transform = scene.transform @ Affine.translation(window.col, window.row)
        labels = burn(drawing.buildings, valid.shape, transform)
        known = np.zeros(valid.shape, np.bool_)
        if drawing.areas is not None:
            known = (burn(drawing.areas, valid.shape, transform) > 0) | (labels > 0)
        image = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
        part = LabelledScene(
            f"{name}/part{number}", image, labels, valid, known, drawing.instances, scene.gsd_m
        )
        patches.append(Patch(part, transform))
    return patches


def known_around(scene: LabelledScene, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where labels are known that come without an area, bool `(H, W)`.

    Args:
        scene: with outlines as labels.
        seen: the model's probability of a building, `(H, W)` on the scene's grid.
    """
    drawn = scene.labels > 0
    other = ((seen > THRESHOLD) & ~drawn).astype(np.uint8)
    thick = cv2.morphologyEx(other, cv2.MORPH_OPEN, disk(SLIVER_M / scene.gsd_m))
    near = cv2.dilate(thick, disk(SEAM_M / scene.gsd_m)) > 0
    return np.asarray(widened(drawn, RING_M / scene.gsd_m) & ~near, np.bool_)


def choose_held_out(drawing: Drawing, scene: Scene, share: float) -> NDArray[np.bool_]:
    """Which outlines are for the test: `share` of them at one end of the drawing's longer side.

    Neighbours look alike; those at one end say more about the rest of the scene than every fourth.
    """
    middles = shapely.get_coordinates(shapely.centroid(drawing.buildings))
    places = np.array([~scene.transform @ tuple(middle) for middle in middles])
    along = places[:, int(np.argmax(np.ptp(places, axis=0)))]
    held = np.zeros(len(along), np.bool_)
    held[np.argsort(along)[len(along) - round(share * len(along)) :]] = True
    return held


def split_patch(patch: Patch, held: NDArray[np.bool_]) -> tuple[Patch, Patch]:
    """A patch to learn from and the same one to be tested on.

    The outlines that are held out and a ring around them are erased from the former; in the latter
    nothing else is known.
    """
    scene = patch.scene
    ours = np.concatenate([[False], held])[scene.labels]
    zone = widened(ours, RING_M / scene.gsd_m)
    kept = replace(
        scene,
        labels=np.where(zone, 0, scene.labels).astype(np.int32),
        valid=scene.valid & ~zone,
        known=scene.known & ~zone,
    )
    tested = replace(scene, known=scene.known & zone)
    return Patch(kept, patch.transform), Patch(tested, patch.transform)


def burn(shapes: NDArray[Any], shape: tuple[int, ...], transform: Affine) -> NDArray[np.int32]:
    """int32 `shape`: `i` where a pixel's centre lies in polygon number `i`, counted from 1."""
    found: NDArray[np.int32] = rasterio.features.rasterize(
        [(one, number) for number, one in enumerate(shapes, start=1)],
        out_shape=shape,
        transform=transform,
        dtype="int32",
    )
    return found


def disk(radius_px: float) -> NDArray[np.uint8]:
    """A round structuring element."""
    reach = int(radius_px)
    offset = np.arange(-reach, reach + 1)
    return (offset[:, None] ** 2 + offset[None, :] ** 2 <= radius_px**2).astype(np.uint8)


def widened(mask: NDArray[np.bool_], by_px: float) -> NDArray[np.bool_]:
    """All pixels within `by_px` of `mask`."""
    if not mask.any():
        return mask
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= by_px, np.bool_)


def _windows(scene: Scene, drawing: Drawing) -> list[Window]:
    """Boxes around what was drawn; those that meet are one."""
    shapes = drawing.buildings
    if drawing.areas is not None:
        shapes = np.concatenate([shapes, drawing.areas])
    margin = round(CONTEXT_M / scene.gsd_m)
    boxes = []
    for bounds in shapely.bounds(shapes):
        window = scene.window_of(tuple(bounds))
        assert window is not None
        near = window.padded(margin)
        boxes.append(shapely.box(near.col, near.row, near.col_stop, near.row_stop))
    while True:
        merged = shapely.envelope(shapely.get_parts(shapely.union_all(boxes)))
        if len(merged) == len(boxes):
            break
        boxes = list(merged)
    whole = Window(0, 0, scene.height, scene.width)
    windows = []
    for col, row, col_stop, row_stop in shapely.bounds(merged).astype(int).tolist():
        inside = Window(row, col, row_stop - row, col_stop - col).intersection(whole)
        assert inside is not None
        windows.append(inside)
    return sorted(windows, key=lambda window: (window.row, window.col))


def _overlap(shapes: NDArray[Any]) -> bool:
    """Whether any two polygons cover much of the same ground."""
    ours, others = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = ours < others
    one, other = shapes[ours[pairs]], shapes[others[pairs]]
    shared = shapely.area(shapely.intersection(one, other))
    smaller = np.minimum(shapely.area(one), shapely.area(other))
    return bool((shared > OVERLAP * smaller).any())


def _touching(shapes: NDArray[Any], reach: float) -> int:
    """Number of pairs no farther apart than `reach`, in units of the CRS."""
    ours, others = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=reach)
    return int(np.count_nonzero(ours < others))


def _span(shapes: Any) -> str:
    return "(" + ", ".join(f"{value:.9g}" for value in shapely.total_bounds(shapes)) + ")"
