"""Where a network errs, so that more tiles can be drawn there.

Buildings are few things, what is mistaken for them is many: fields, greenhouses, courts, lorries,
water. Most tiles show none of these. A network that has learned for a while says itself which it
still gets wrong, buildings that it misses included.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.data.scenes import LabelledScene

CELL_PX = 16
# Errors thinner than this, in pixels of the prediction, are a matter of where an edge is.
EDGE_PX = 5
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class ErrorMap:
    """How much of each cell of a scene a network got wrong.

    Attributes:
        wrong: float32 `(rows, columns)`; wrong pixels in the cell, 0 or more.
        cell_px: side of a cell in scene pixels.
    """

    wrong: NDArray[np.float32]
    cell_px: float

    def draw(self, rng: np.random.Generator) -> tuple[float, float] | None:
        """A place `(x, y)` in scene pixels, cells by what is wrong in them; None if nothing is."""
        summed = np.cumsum(self.wrong, dtype=np.float64)
        if not summed[-1] > 0:
            return None
        cell = int(np.searchsorted(summed, rng.uniform(0, summed[-1]), side="right"))
        row, col = divmod(min(cell, summed.size - 1), self.wrong.shape[1])
        x, y = (np.array([col, row]) + rng.uniform(0, 1, 2)) * self.cell_px
        return float(x), float(y)


def error_map(scene: LabelledScene, probability: NDArray[np.float32], gsd_m: float) -> ErrorMap:
    """What a prediction of a whole scene gets wrong, edges left aside.

    Args:
        scene: with labels; only what counts can be wrong.
        probability: of a building, `(H, W)` at `gsd_m`, from the scene's corner.
        gsd_m: metres per pixel of it.
    """
    scale = gsd_m / scene.gsd_m
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) * scale).astype(int), size - 1)
        for n, size in zip(probability.shape, scene.labels.shape, strict=True)
    )
    truth = scene.labels[np.ix_(rows, cols)] > 0
    wrong = ((probability > THRESHOLD) != truth) & scene.counted[np.ix_(rows, cols)]
    broad = cv2.morphologyEx(
        wrong.astype(np.uint8), cv2.MORPH_OPEN, np.ones((EDGE_PX, EDGE_PX), np.uint8)
    )
    starts = (np.arange(0, size, CELL_PX) for size in broad.shape)
    counted = broad.astype(np.float32)
    for axis, start in enumerate(starts):
        counted = np.add.reduceat(counted, start, axis=axis)
    return ErrorMap(counted, CELL_PX * scale)
