"""Buildings of one place pasted into another: more grounds for each roof, more roofs on each.

Simple copy-paste (Ghiasi et al., CVPR 2021, arXiv 2012.07177), for tiles seen from above: buildings
keep their resolution and the direction that their tile has, go where no building is, and take over
the brightness and contrast of the tile that they come to. Their rims are blended over a pixel, so
that no sharp cut gives them away.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.data.scenes import Tile

# A building is taken with this probability, so that pasted rows have gaps.
TAKEN = 0.7
# Ground that stays free between a pasted building and those of the tile, in pixels.
GAP_PX = 2
RIM_PX = 1.0
# Smaller things are corners of buildings that are hidden or cut off.
LEAST_PX = 30
# How much the contrast of a donor may change.
MOST_GAIN = 1.6


def paste_buildings(tile: Tile, donor: Tile, rng: np.random.Generator) -> Tile:
    """`tile` with some of the buildings of `donor` where there is room for them.

    Buildings that reach the donor's border, touch a building of the tile or stand where nothing is
    known are left out. Tiles with steps from roof to footprint stay as they are, and so do those
    with single buildings if the donor's are merged: what is pasted must be labelled as the rest is.

    Args:
        tile: to paste into; not changed.
        donor: of the same shape and resolution.
        rng: chooses the buildings.
    """
    if tile.offset_m is not None or (tile.instances and not donor.instances):
        return tile
    numbers = _pasted(tile, donor, rng)
    if not numbers.any():
        return tile
    mask = numbers > 0
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), RIM_PX)
    alpha = np.where(mask, np.maximum(alpha, 0.5), alpha)[..., None]
    fitted = _toned(donor, tile)
    image = tile.image * (1 - alpha) + fitted * alpha
    image[~tile.valid] = tile.image[~tile.valid]
    above = np.int32(tile.labels.max(initial=0))
    labels = np.where(mask, above + numbers, tile.labels)
    return replace(tile, image=np.rint(image).clip(0, 255).astype(np.uint8), labels=labels)


def _pasted(tile: Tile, donor: Tile, rng: np.random.Generator) -> NDArray[np.int32]:
    """The donor's numbers where a building is pasted, 0 elsewhere."""
    room = np.ones((2 * GAP_PX + 1,) * 2, np.uint8)
    taken = cv2.dilate(((tile.labels > 0) | ~tile.weight).astype(np.uint8), room) > 0
    border = np.ones_like(taken)
    border[1:-1, 1:-1] = False
    keys = donor.labels
    if not donor.instances:
        # Pieces, not numbers: where buildings are merged all have the same one.
        _, pieces = cv2.connectedComponents((keys > 0).astype(np.uint8), connectivity=4)
        keys = np.asarray(pieces, np.int32)
    there, sizes = np.unique(keys[donor.labels > 0], return_counts=True)
    there = there[sizes >= LEAST_PX]
    bad = np.unique(keys[(taken | border | ~donor.weight) & (donor.labels > 0)])
    good = np.setdiff1d(there, bad)
    chosen = good[rng.random(len(good)) < TAKEN]
    return np.where(np.isin(keys, chosen), donor.labels, 0).astype(np.int32)


def _toned(donor: Tile, tile: Tile) -> NDArray[np.float32]:
    """The donor's image with the mean and, within limits, the spread of the tile's brightness."""
    mine, theirs = (t.image[t.valid].mean(axis=1, dtype=np.float32) for t in (tile, donor))
    gain = np.clip(mine.std() / max(theirs.std(), 1.0), 1 / MOST_GAIN, MOST_GAIN)
    fitted = (donor.image.astype(np.float32) - theirs.mean()) * gain + mine.mean()
    return np.asarray(fitted, np.float32)
