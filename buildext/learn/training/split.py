"""The split by place: what is held out is never seen by the training.

Neighbouring tiles share roofs, shadows and the day's light; a split by tile measures memory. Here
whole scenes or square blocks of `block_m` metres are held out. The blocks are *erased* from the
training copy of the scene (filled with the mean colour, weight 0) before anything is sampled from
it, so no crop, rotation or image pyramid can bring their pixels back.
"""

from __future__ import annotations

import fnmatch
import zlib
from dataclasses import replace

import numpy as np

from buildext.grid.window import Window
from buildext.learn.training.config import SplitSection
from buildext.learn.training.scenes import FILL_RGB, LabelledScene

# A scene of fewer blocks is kept whole: one block would be a large part of it.
MIN_BLOCKS = 10


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


def held_out_blocks(scene: LabelledScene, options: SplitSection, seed: int) -> list[Window]:
    """The blocks of a scene that are for monitoring only.

    The choice depends on the seed and the scene's name alone, not on the other scenes.
    """
    blocks = blocks_of(scene, options.block_m)
    if any(fnmatch.fnmatch(scene.name, pattern) for pattern in options.scenes):
        return blocks
    count = round(options.hold_out * len(blocks))
    if len(blocks) < MIN_BLOCKS or count == 0:
        return []
    rng = np.random.default_rng([seed, zlib.crc32(scene.name.encode())])
    return [blocks[i] for i in sorted(rng.choice(len(blocks), count, replace=False))]


def erase_blocks(scene: LabelledScene, blocks: list[Window]) -> LabelledScene:
    """A copy of the scene without the pixels and labels of `blocks`."""
    image, labels, valid = scene.image.copy(), scene.labels.copy(), scene.valid.copy()
    for block in blocks:
        image[block.slices] = FILL_RGB
        labels[block.slices] = 0
        valid[block.slices] = False
    return replace(scene, image=image, labels=labels, valid=valid)
