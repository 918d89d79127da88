"""What the network is asked to predict, drawn from a tile's labels.

`building` is every labelled pixel. `contact` is the seam between buildings that touch or nearly
touch: the pixels that have two different buildings within a radius of `max(0.5 m, 1.25 px)`. It is
computed on the tile's own grid, whatever its resolution, with one trick: the largest label within
the radius (a dilation) differs from the smallest one (an erosion in which background counts as
infinitely large) exactly where there are two.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.config import LossSection
from buildext.learn.training.scenes import Tile

CHANNELS = ("building", "contact")
# float32 holds every integer below this exactly.
_NO_BUILDING = np.float32(2**24)


def contact_radius_px(gsd_m: float, options: LossSection) -> float:
    """The radius within which two buildings make a contact, in tile pixels."""
    return max(options.contact_m / gsd_m, options.contact_px)


def contact_mask(labels: NDArray[np.int32], radius_px: float) -> NDArray[np.bool_]:
    """Pixels `(H, W)` whose centres have two different labels within `radius_px`."""
    reach = int(radius_px)
    offset = np.arange(-reach, reach + 1)
    disk = (offset[:, None] ** 2 + offset[None, :] ** 2 <= radius_px**2).astype(np.uint8)
    # Labels of one tile are renumbered, so that any number of buildings in a scene stays exact.
    _, dense = np.unique(labels, return_inverse=True)
    numbers = dense.reshape(labels.shape).astype(np.float32) + (0.0 if (labels == 0).any() else 1.0)
    largest = cv2.dilate(numbers, disk, borderType=cv2.BORDER_CONSTANT, borderValue=0.0)
    holes = np.where(numbers == 0, _NO_BUILDING, numbers)
    smallest = cv2.erode(
        holes, disk, borderType=cv2.BORDER_CONSTANT, borderValue=float(_NO_BUILDING)
    )
    result: NDArray[np.bool_] = (largest > 0) & (smallest < largest)
    return result


def make_targets(
    tile: Tile, channels: tuple[str, ...], options: LossSection
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Targets and their weights, both uint8 `(K, H, W)` of 0 and 1.

    A tile without instances has weight 0 in the contact channel: its seams are unknown.
    """
    target = np.zeros((len(channels), *tile.labels.shape), np.uint8)
    weight = np.zeros_like(target)
    for k, channel in enumerate(channels):
        if channel == "building":
            target[k], weight[k] = tile.labels > 0, tile.weight
        elif tile.instances:
            radius_px = contact_radius_px(tile.gsd_m, options)
            target[k], weight[k] = contact_mask(tile.labels, radius_px), tile.weight
    return target, weight
