"""Moving the labels of a scene in memory to where a network sees their buildings.

What is aligned are polygons (see `buildext.align`); what a scene holds are pixels with numbers.
Each label's outline is traced, aligned, and its pixels are set down again at their new place. Where
the place of a label is not sure, nothing is known: neither is the label believed, nor are its
surroundings taken for ground.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.align import Alignment, AlignOptions, align_shapes
from buildext.learn.training.data.scenes import LabelledScene

# Smaller specks have no outline.
MIN_AREA_PX = 4


@dataclass(frozen=True, slots=True)
class Relabelled:
    """A scene with moved labels, and what was done to it.

    Attributes:
        scene: the labels at their new places; unknown where they are not sure.
        shifts_m: length of the step of each label that was moved.
        labels: number of labels.
    """

    scene: LabelledScene
    shifts_m: NDArray[np.float64]
    labels: int


def relabel_scene(
    scene: LabelledScene,
    probability: NDArray[np.float32],
    gsd_m: float,
    options: AlignOptions,
    min_confidence: float,
) -> Relabelled:
    """Move the labels of `scene`.

    Args:
        scene: labels where they were found; without instances each blob counts as one.
        probability: of a building, `(H, W)` at `gsd_m`, from the scene's corner.
        gsd_m: metres per pixel of `probability`.
        options: of the alignment.
        min_confidence: what is less sure is unknown.
    """
    numbers = scene.labels if scene.instances else _blobs(scene.labels)
    boxes = _boxes(numbers)
    scale = scene.gsd_m / gsd_m
    outlines = {i: _outline(numbers, box, i, scale) for i, box in boxes.items()}
    outlines = {i: shape for i, shape in outlines.items() if shape is not None}
    seen = probability > 0
    aligned = align_shapes(probability, seen, list(outlines.values()), gsd_m, options)
    labels = np.zeros_like(scene.labels)
    known = scene.known.copy()
    unsure = np.zeros(scene.labels.shape, np.uint8)
    steps_m = []
    # The surest labels are set down last, over the others.
    order = np.argsort([a.confidence for a in aligned], kind="stable")
    ids = list(outlines)
    for k in order:
        found, box = aligned[k], boxes[ids[k]]
        mask = numbers[box] == ids[k]
        if found.status != "moved" or found.confidence < min_confidence:
            unsure[box] |= mask
            continue
        steps_m.append(float(np.hypot(*found.shift_xy_px)) * gsd_m)
        _set_down(labels, scene.labels[box], mask, box, _whole(found, scale))
    # A building may stand anywhere within reach of a label whose place is not known.
    reach_px = max(1, round(options.max_shift_m / 2 / scene.gsd_m))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
    known &= ~((cv2.dilate(unsure, disk) > 0) & (labels == 0))
    moved = replace(scene, labels=labels, known=known)
    return Relabelled(moved, np.array(steps_m), len(ids))


def _blobs(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers of the connected blobs of a mask."""
    _, numbers = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=4)
    return np.asarray(numbers, np.int32)


def _boxes(numbers: NDArray[np.int32]) -> dict[int, tuple[slice, slice]]:
    """The bounding box of each number above 0."""
    from scipy import ndimage

    found = ndimage.find_objects(numbers)
    return {i: box for i, box in enumerate(found, start=1) if box is not None}


def _outline(
    numbers: NDArray[np.int32], box: tuple[slice, slice], number: int, scale: float
) -> shapely.Geometry | None:
    """The outline of a label in the pixel plane of the probability."""
    mask = (numbers[box] == number).astype(np.uint8)
    if mask.sum() < MIN_AREA_PX:
        return None
    rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Contours run through the middles of border pixels; half a pixel more is their edge.
    origin = np.array([box[1].start + 0.5, box[0].start + 0.5])
    parts = [shapely.Polygon(ring[:, 0] + origin) for ring in rings if len(ring) >= 3]
    shape = shapely.make_valid(shapely.union_all(parts)).buffer(0.5, join_style="mitre")
    if shape.is_empty or shape.geom_type not in ("Polygon", "MultiPolygon"):
        return None
    return shapely.transform(shape, lambda xy: xy * scale)


def _whole(found: Alignment, scale: float) -> tuple[int, int]:
    """The step in whole pixels of the scene, right and down."""
    x, y = found.shift_xy_px
    return round(x / scale), round(y / scale)


def _set_down(
    labels: NDArray[np.int32],
    values: NDArray[np.int32],
    mask: NDArray[np.bool_],
    box: tuple[slice, slice],
    step_xy_px: tuple[int, int],
) -> None:
    """Write the values under `mask` into `labels`, moved; what falls outside is lost."""
    rows, cols = np.nonzero(mask)
    to_rows = rows + box[0].start + step_xy_px[1]
    to_cols = cols + box[1].start + step_xy_px[0]
    inside = (
        (to_rows >= 0) & (to_cols >= 0) & (to_rows < labels.shape[0]) & (to_cols < labels.shape[1])
    )
    labels[to_rows[inside], to_cols[inside]] = values[rows[inside], cols[inside]]
