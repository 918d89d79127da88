"""The split by place: what is held out is never seen by the training.

Neighbouring tiles share roofs, shadows and the day's light; a split by tile measures memory. Here
whole scenes or square blocks of `block_m` metres are held out. The blocks are *erased* from the
training copy of the scene (filled with the mean colour, weight 0) before anything is sampled from
it, so no crop, rotation or image pyramid can bring their pixels back. Two datasets with the same
image (once with noisy, once with clean labels) hold out the same blocks, since the choice depends
on the image and not on its name.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from buildext.grid.window import Window
from buildext.learn.training.config import SplitSection
from buildext.learn.training.data.scenes import FILL_RGB, LabelledScene

# A scene of fewer blocks is kept whole: one block would be a large part of it.
MIN_BLOCKS = 10
# What stays visible around a block whose labels alone are known.
CONTEXT_M = 16.0


@dataclass(frozen=True, slots=True)
class Split:
    """The blocks of a scene that are not for training."""

    monitor: tuple[Window, ...] = ()
    test: tuple[Window, ...] = ()


def blocks_of(scene: LabelledScene, block_m: float) -> list[Window]:
    """The blocks that partition a scene, row by row; those at the far edges take the rest."""
    rows = max(1, round(scene.image.shape[0] * scene.gsd_m / block_m))
    cols = max(1, round(scene.image.shape[1] * scene.gsd_m / block_m))
    ys = np.linspace(0, scene.image.shape[0], rows + 1).round().astype(int)
    xs = np.linspace(0, scene.image.shape[1], cols + 1).round().astype(int)
    return [
        Window(int(ys[r]), int(xs[c]), int(ys[r + 1] - ys[r]), int(xs[c + 1] - xs[c]))
        for r in range(rows)
        for c in range(cols)
    ]


def split_scene(scene: LabelledScene, options: SplitSection, seed: int, place: str) -> Split:
    """The blocks of a scene that are for monitoring or for the test only.

    Args:
        scene: whose blocks are chosen.
        options: shares and patterns.
        seed: of the choice, where the options have none.
        place: sha256 of the image; equal images are split equally.
    """
    blocks = blocks_of(scene, options.block_m)
    if any(fnmatch.fnmatch(scene.name, pattern) for pattern in options.test_scenes):
        return Split(test=tuple(blocks))
    if any(fnmatch.fnmatch(scene.name, pattern) for pattern in options.scenes):
        return Split(monitor=tuple(blocks))
    if len(blocks) < MIN_BLOCKS:
        return Split()
    chosen = seed if options.seed is None else options.seed
    order = np.random.default_rng([chosen, int(place[:15], 16)]).permutation(len(blocks))
    tested = round(options.test * len(blocks))
    watched = round(options.hold_out * len(blocks))
    return Split(
        monitor=tuple(blocks[i] for i in sorted(order[tested : tested + watched])),
        test=tuple(blocks[i] for i in sorted(order[:tested])),
    )


def erase_blocks(
    scene: LabelledScene, blocks: Sequence[Window], gap_m: float = 0.0
) -> LabelledScene:
    """A copy of the scene without the pixels and labels of `blocks` and of `gap_m` around them."""
    image, labels = scene.image.copy(), scene.labels.copy()
    valid, known = scene.valid.copy(), scene.known.copy()
    whole = Window(0, 0, *labels.shape)
    for block in blocks:
        area = block.padded(round(gap_m / scene.gsd_m)).intersection(whole)
        assert area is not None
        image[area.slices] = FILL_RGB
        labels[area.slices] = 0
        valid[area.slices] = False
        known[area.slices] = False
    return replace(scene, image=image, labels=labels, valid=valid, known=known)


def few_clean(
    scenes: Sequence[LabelledScene], share: float, block_m: float, seed: int
) -> list[LabelledScene]:
    """Cut out blocks that hold `share` of the building area of `scenes`, drawn at random.

    Returns:
        One small scene a block, its surroundings visible but their labels unknown. At least one.
    """
    if share >= 1 or not scenes:
        return list(scenes)
    found = []
    for scene in scenes:
        for block in blocks_of(scene, block_m):
            part = block.slices
            usable = scene.valid[part] & scene.known[part]
            area = np.count_nonzero(usable & (scene.labels[part] > 0)) * scene.gsd_m**2
            if area > 0:
                found.append((scene, block, area))
    order = np.random.default_rng([seed, 3]).permutation(len(found))
    wanted = share * sum(area for _, _, area in found)
    chosen: list[LabelledScene] = []
    got = 0.0
    for i in order:
        scene, block, area = found[i]
        # The block that crosses the share is taken where that comes nearer to it.
        if chosen and got + area / 2 > wanted:
            break
        chosen.append(_cut(scene, block))
        got += area
    return chosen


def _cut(scene: LabelledScene, block: Window) -> LabelledScene:
    """A block with its context, labels known in the block alone."""
    whole = Window(0, 0, *scene.labels.shape)
    area = block.padded(round(CONTEXT_M / scene.gsd_m)).intersection(whole)
    assert area is not None
    known = np.zeros(scene.labels.shape, np.bool_)
    known[block.slices] = scene.known[block.slices]
    return replace(
        scene,
        image=scene.image[area.slices],
        labels=scene.labels[area.slices],
        valid=scene.valid[area.slices],
        known=known[area.slices],
    )
