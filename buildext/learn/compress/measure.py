"""The drop, measured: pixel F1 of buildings on whole scenes, by two networks.

Both look at the same tiles in the same order. Scores are pooled over a scene, and over each height
class where the labels have heights; what is without data or without a known label does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from buildext.learn.compress.tiles import resolution
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.monitor import f1
from buildext.learn.training.tiles.height_classes import class_names, nearest_class
from buildext.learn.training.tiles.sampling import Placement, Pyramid
from buildext.models.card import Card

# uint8 (C, H, W) to probabilities (K, H, W).
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
MARGIN_PX = 32
HEIGHT_LIMITS_M = (12.0, 36.0, 100.0)
PROTOCOL = (
    "pixel F1 at the card's threshold, pooled over the scene; upright tiles at the resolution of "
    "extraction, margins of 32 px not counted"
)


@dataclass(frozen=True, slots=True)
class SceneDrop:
    """Scores of one scene, 0 to 1.

    Attributes:
        scene: its name.
        before: F1 by class, the whole scene under an empty name.
        after: the same of the other network.
    """

    scene: str
    before: dict[str, float]
    after: dict[str, float]

    def drops(self) -> dict[str, float]:
        """How much lower each score is, in points of a hundred."""
        return {name: 100 * (self.before[name] - self.after[name]) for name in self.before}


def measure_drop(
    scene: LabelledScene, card: Card, tile_px: int, before: Predict, after: Predict
) -> SceneDrop:
    """Score two networks on a scene.

    Args:
        scene: with labels.
        card: of both; its threshold decides.
        tile_px: of the engines.
        before: the network in floats.
        after: the quantised one.
    """
    one, other = score_scene(scene, card, tile_px, (before, after))
    return SceneDrop(scene.name, one, other)


def score_scene(
    scene: LabelledScene, card: Card, tile_px: int, networks: Sequence[Predict]
) -> list[dict[str, float]]:
    """F1 of each network, by height class and in all (under an empty name)."""
    classes = (
        None
        if scene.heights_m is None
        else nearest_class(scene.labels, scene.heights_m, HEIGHT_LIMITS_M)
    )
    names = ["", *([] if classes is None else class_names(HEIGHT_LIMITS_M))]
    counts = np.zeros((len(networks), len(names), 3))
    for image, truth, counted, height_class in _tiles(scene, card, tile_px, classes):
        for k, network in enumerate(networks):
            found = (network(image)[0] >= card.thresholds.building) & counted
            for c in range(len(names)):
                of_class = counted if c == 0 else counted & (height_class == c)
                counts[k, c] += [
                    np.count_nonzero(found & truth & of_class),
                    np.count_nonzero(found & of_class),
                    np.count_nonzero(truth & of_class),
                ]
    return [
        {name: f1(*row.tolist()) for name, row in zip(names, rows, strict=True) if row[2] > 0}
        for rows in counts
    ]


def _tiles(
    scene: LabelledScene, card: Card, tile_px: int, classes: NDArray[np.uint8] | None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.uint8]]]:
    """Image `(3, H, W)`, truth, what counts and height classes of tiles that cover the scene."""
    gsd_m = resolution(scene, card.gsd)
    pyramid = Pyramid(scene)
    # The classes are cut as labels are, by a scene that has them in place of the labels.
    by_height = None
    if classes is not None:
        by_height = Pyramid(
            LabelledScene(
                scene.name,
                scene.image,
                classes.astype(np.int32),
                scene.valid,
                scene.known,
                False,
                scene.gsd_m,
            )
        )
    step = (tile_px - 2 * MARGIN_PX) * gsd_m / scene.gsd_m
    height, width = scene.labels.shape
    inner = np.zeros((tile_px, tile_px), np.bool_)
    inner[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = True
    rows, cols = range(int(np.ceil(height / step))), range(int(np.ceil(width / step)))
    for row, col in product(rows, cols):
        placement = Placement(((col + 0.5) * step, (row + 0.5) * step), 0.0, False, gsd_m)
        tile = pyramid.cut(placement, tile_px)
        counted = tile.weight & inner
        if not counted.any():
            continue
        heights = np.zeros(counted.shape, np.uint8)
        if by_height is not None:
            heights = by_height.cut(placement, tile_px).labels.astype(np.uint8)
        image = np.ascontiguousarray(np.moveaxis(tile.image, -1, 0))
        yield image, tile.labels > 0, counted, heights
