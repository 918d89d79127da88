"""Height classes: the same scores for low houses and for towers.

The limits are ours and declared (12, 36 and 100 m): low-rise, mid-rise, high-rise, skyscraper. A
class owns the pixels and objects of the reference buildings in it. False positives belong to no
reference building, so each is charged to the class of the true building nearest to it; the classes
then partition all true positives, false positives and false negatives, and their counts add up to
those of the pooled score. Buildings without a height form a class of their own, `unknown`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.evaluate.layers import PolygonLayer
from buildext.evaluate.matching import Overlaps
from buildext.evaluate.options import DEFAULT_CLASS_LIMITS_M
from buildext.grid.window import Window

UNKNOWN = "unknown"
_DEFAULT_NAMES = ("low-rise", "mid-rise", "high-rise", "skyscraper")

# False positives farther than this from any true pixel ask the polygons instead of the pixels.
NEAREST_HALO_PX = 128


@dataclass(frozen=True, slots=True)
class HeightClasses:
    """Names and limits of the classes.

    Attributes:
        limits_m: ascending; a class holds its lower limit.
    """

    limits_m: tuple[float, ...] = DEFAULT_CLASS_LIMITS_M

    @property
    def ranges_m(self) -> tuple[tuple[float, float | None] | None, ...]:
        """Lower and upper limit of each class; None stands for an open end, or for `unknown`."""
        uppers: tuple[float | None, ...] = (*self.limits_m, None)
        return (*zip((0.0, *self.limits_m), uppers, strict=True), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes from low to high, then `unknown`."""
        if self.limits_m == DEFAULT_CLASS_LIMITS_M:
            return (*_DEFAULT_NAMES, UNKNOWN)
        limits = [f"{limit:g}" for limit in self.limits_m]
        between = [f"{a}–{b} m" for a, b in pairwise(limits)]
        return (f"< {limits[0]} m", *between, f"≥ {limits[-1]} m", UNKNOWN)

    def assign(self, heights_m: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Class index of each height; the last class where it is NaN."""
        known = np.searchsorted(self.limits_m, heights_m, side="right")
        return np.where(np.isnan(heights_m), len(self.limits_m) + 1, known).astype(np.uint8)


def nearest_class_px(
    layer: PolygonLayer,
    window: Window,
    wanted: NDArray[np.bool_],
    around: NDArray[np.uint8],
    wide: Window,
) -> NDArray[np.uint8]:
    """Class of the true building nearest to each wanted pixel of a window.

    Near ones are found among the contour pixels around the window, the few far ones among the
    polygons.

    Args:
        layer: the reference with its classes, not empty.
        window: a window of the frame.
        wanted: `(h, w)` pixels without a true building.
        around: what `layer.read_classes` says of `wide`.
        wide: the window padded by at least `NEAREST_HALO_PX`.

    Returns:
        `(n,)` class indices, in the order of `np.nonzero(wanted)`.
    """
    from scipy.spatial import KDTree

    gx, gy = layer.frame.pixel_xy_m
    rows, cols = np.nonzero(wanted)
    points = np.column_stack([(cols + window.col + 0.5) * gx, (rows + window.row + 0.5) * gy])
    ref_rows, ref_cols = np.nonzero(_edges(around))
    found = np.zeros(len(points), np.uint8)
    distance = np.full(len(points), np.inf)
    if len(ref_rows):
        known = np.column_stack(
            [(ref_cols + wide.col + 0.5) * gx, (ref_rows + wide.row + 0.5) * gy]
        )
        # Built in one pass: the points are many and soon forgotten.
        tree = KDTree(known, balanced_tree=False, compact_nodes=False)
        distance, nearest = tree.query(points)
        found = around[ref_rows[nearest], ref_cols[nearest]] - np.uint8(1)
    far = np.flatnonzero(distance > NEAREST_HALO_PX * min(gx, gy))
    if len(far):
        found[far] = layer.classes[layer.tree.nearest(shapely.points(points[far]))]
    return found


def _edges(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of buildings with a 4-neighbour of another value: the nearest one is among them."""
    edge = np.zeros(classes.shape, np.bool_)
    down = classes[1:] != classes[:-1]
    right = classes[:, 1:] != classes[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (classes > 0)


def class_of_predictions(
    pred: NDArray[np.object_], ref: PolygonLayer, overlaps: Overlaps
) -> NDArray[np.uint8]:
    """Class to which each prediction is charged where it matches nothing.

    That of the true object it shares the largest area with, else that of the nearest one.
    """
    owner = np.full(len(pred), -1, np.intp)
    # The last write wins, and it is the largest area.
    order = np.argsort(overlaps.area_m2, kind="stable")
    owner[overlaps.pred[order]] = overlaps.ref[order]
    lonely = np.flatnonzero(owner < 0)
    if len(lonely):
        owner[lonely] = ref.tree.nearest(pred[lonely])
    return ref.classes[owner]
