"""Scores by building height: which class a pixel of a held-out tile counts for.

A pixel belongs to the class of the nearest labelled building: to its own where it is one, and
elsewhere to the one that a false alarm there would be blamed on (the protocol of `docs/metrics.md`,
inside one tile). Buildings of unknown height, and tiles without any building, count for no class.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

NO_CLASS = 0


def nearest_class(
    labels: NDArray[np.int32], heights_m: NDArray[np.float32], limits_m: Sequence[float]
) -> NDArray[np.uint8]:
    """The height class of the nearest building, counted from 1, `(H, W)`; 0 for none.

    Args:
        labels: int32 `(H, W)`; 0 is background.
        heights_m: height of label `i` at index `i`, nan where unknown.
        limits_m: rising limits between the classes; a height on a limit is above it.
    """
    building = labels > 0
    if not building.any():
        return np.full(labels.shape, NO_CLASS, np.uint8)
    # For each pixel the number of the nearest building pixel, as OpenCV counts them.
    _, nearest = cv2.distanceTransformWithLabels(
        (~building).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(int(nearest.max()) + 1, np.int64)
    label_of[nearest[building]] = labels[building]
    heights = heights_m[label_of[nearest]]
    classes = 1 + np.digitize(heights, limits_m)
    return np.where(np.isnan(heights), NO_CLASS, classes).astype(np.uint8)


def class_names(limits_m: Sequence[float]) -> list[str]:
    """What the classes are called, from the lowest, such as `< 12 m` and `12-36 m`."""
    inner = [f"{low:g}-{high:g} m" for low, high in pairwise(limits_m)]
    return [f"< {limits_m[0]:g} m", *inner, f">= {limits_m[-1]:g} m"]
