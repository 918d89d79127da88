"""Where the centres of tiles are drawn, where it is not everywhere alike.

Two things make an even draw over a scene a poor one. Labels may be known in a small area only: then
nearly every tile would have no weight, so centres are drawn in cells that hold something known. And
tall buildings are rare: a skyscraper that covers a ten-thousandth of a city is hardly ever seen, so
a share of the tiles is drawn at buildings, each height class as often as the others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.data.scenes import LabelledScene

log = logging.getLogger(__name__)

CELL_PX = 16


def known_cells(scene: LabelledScene) -> NDArray[np.int64] | None:
    """Upper left corners `(cells, 2)`, x and y, of the cells of `CELL_PX` that hold a known pixel.

    None where the whole scene is known.
    """
    if scene.known.all():
        return None
    usable = scene.counted
    rows, cols = (np.arange(0, size, CELL_PX) for size in usable.shape)
    filled = np.logical_or.reduceat(np.logical_or.reduceat(usable, rows, axis=0), cols, axis=1)
    ys, xs = np.nonzero(filled)
    return np.column_stack([xs, ys]) * CELL_PX


class HeightClasses:
    """The buildings of all scenes, by height class.

    Args:
        scenes: those without heights are left out, and so are buildings of unknown height and
            those of which no pixel counts.
        limits_m: ascending; a class holds its lower limit.
    """

    def __init__(self, scenes: Sequence[LabelledScene], limits_m: Sequence[float]) -> None:
        found = [np.empty((0, 4))]
        for number, scene in enumerate(scenes):
            if scene.heights_m is not None:
                found.append(_buildings(scene, number, limits_m))
        everything = np.concatenate(found)
        # Each row: scene, x, y, class.
        self._classes = [everything[everything[:, 3] == c, :3] for c in np.unique(everything[:, 3])]
        counts = np.bincount(everything[:, 3].astype(int), minlength=len(limits_m) + 1)
        log.info("buildings by height class, lowest first: %s", counts.tolist())

    def __bool__(self) -> bool:
        """Whether there is any building of known height."""
        return bool(self._classes)

    def draw(self, rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
        """A scene's number and the middle of one of its buildings, in scene pixels `(x, y)`."""
        buildings = self._classes[int(rng.integers(len(self._classes)))]
        scene, x, y = buildings[int(rng.integers(len(buildings)))]
        return int(scene), (float(x), float(y))


def _buildings(scene: LabelledScene, number: int, limits_m: Sequence[float]) -> NDArray[np.float64]:
    """Rows of `(number, x, y, class)`: the mean place of each building's pixels that count."""
    assert scene.heights_m is not None
    rows, cols = np.nonzero((scene.labels > 0) & scene.counted)
    labels = scene.labels[rows, cols]
    size = len(scene.heights_m)
    pixels = np.bincount(labels, minlength=size)
    there = np.flatnonzero((pixels > 0) & np.isfinite(scene.heights_m))
    xs = np.bincount(labels, cols + 0.5, size)[there] / pixels[there]
    ys = np.bincount(labels, rows + 0.5, size)[there] / pixels[there]
    classes = np.digitize(scene.heights_m[there], limits_m)
    return np.column_stack([np.full(len(there), number), xs, ys, classes])
