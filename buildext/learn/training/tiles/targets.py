"""What the network is asked to predict, drawn from a tile's labels.

`building` is every labelled pixel. `contact` is the seam between buildings that touch or nearly
touch: the pixels that have two different buildings within a radius of `max(0.5 m, 1.25 px)`. It is
computed on the tile's own grid, whatever its resolution, with one trick: the largest label within
the radius (a dilation) differs from the smallest one (an erosion in which background counts as
infinitely large) exactly where there are two.

Labels that lie some metres beside their buildings are wrong along the edges and right elsewhere.
Two lengths on the ground say so: within `edge_smoothing_m` of an edge the `building` target slides
from 1 inside over 1/2 at the edge to 0 outside, and within `ignore_band_m` it has no weight. The
`contact` channel is left alone: a seam is nothing but edge, and would vanish.

`offset_x` and `offset_y` are the step from roof to footprint on pixels of roofs (see `offsets`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from buildext.learn.training.config import LossSection
from buildext.learn.training.data.scenes import Tile
from buildext.learn.training.tiles import offsets
from buildext.models.card import OFFSET_CHANNELS

# Above every label.
_NO_BUILDING = 2.0**32


def contact_radius_px(gsd_m: float, options: LossSection) -> float:
    """The radius within which two buildings make a contact, in tile pixels."""
    return max(options.contact_m / gsd_m, options.contact_px)


def contact_mask(labels: NDArray[np.int32], radius_px: float) -> NDArray[np.bool_]:
    """Pixels `(H, W)` whose centres have two different labels within `radius_px`."""
    reach = int(radius_px)
    offset = np.arange(-reach, reach + 1)
    disk = (offset[:, None] ** 2 + offset[None, :] ** 2 <= radius_px**2).astype(np.uint8)
    # A double holds every label exactly.
    numbers = labels.astype(np.float64)
    largest = cv2.dilate(numbers, disk, borderType=cv2.BORDER_CONSTANT, borderValue=0.0)
    holes = np.where(numbers == 0, _NO_BUILDING, numbers)
    smallest = cv2.erode(holes, disk, borderType=cv2.BORDER_CONSTANT, borderValue=_NO_BUILDING)
    result: NDArray[np.bool_] = (largest > 0) & (smallest < largest)
    return result


def edge_distance_m(
    inside: NDArray[np.bool_], known: NDArray[np.bool_], gsd_m: float
) -> NDArray[np.float32]:
    """Distance to the nearest edge between inside and outside, `(H, W)` in metres.

    Positive inside, negative outside. An edge lies half-way between two pixel centres. Where
    nothing is known there is no edge: a building cut off by nodata goes on.
    """
    to_outside, to_inside = _distance_px(known & ~inside), _distance_px(known & inside)
    signed = np.where(inside, to_outside - 0.5, 0.5 - to_inside)
    return np.asarray(signed * gsd_m, np.float32)


def _distance_px(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of each pixel centre to the nearest one in `mask`; infinite where that is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)


def building_target(
    tile: Tile, options: LossSection
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Target and weight of the building channel, both `(H, W)`.

    The target is above 1/2 exactly where there is a label, however much it is smoothed.
    """
    inside = tile.labels > 0
    target, weight = inside.astype(np.float32), tile.weight.astype(np.float32)
    if options.edge_smoothing_m or options.ignore_band_m:
        distance_m = edge_distance_m(inside, tile.weight > 0, tile.gsd_m)
        if options.edge_smoothing_m:
            target = 0.5 + 0.5 * np.clip(distance_m / options.edge_smoothing_m, -1.0, 1.0)
        weight[np.abs(distance_m) < options.ignore_band_m] = 0.0
    return target, weight


def offset_target(
    tile: Tile, channel: str, options: LossSection
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Target and weight of one axis of the step from roof to footprint, both `(H, W)`."""
    if tile.offset_m is None:
        nothing = np.zeros(tile.labels.shape, np.float32)
        return nothing, nothing
    share = offsets.to_share(tile.offset_m, options.offset_range_m)
    # One axis out of range says that the other one is half of a step.
    there = tile.weight & ((share >= 0) & (share <= 1)).all(axis=0)
    own = share[OFFSET_CHANNELS.index(channel)]
    return np.where(there, own, np.float32(0)), there.astype(np.float32)


def make_targets(
    tile: Tile, channels: tuple[str, ...], options: LossSection
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Targets and their weights, both float16 `(K, H, W)` from 0 to 1.

    A tile without instances has weight 0 in the contact channel: its seams are unknown. So have the
    offset channels where there is no roof, or one whose step is unknown or beyond their range.
    """
    target = np.zeros((len(channels), *tile.labels.shape), np.float16)
    weight = np.zeros_like(target)
    for k, channel in enumerate(channels):
        if channel == "building":
            target[k], weight[k] = building_target(tile, options)
        elif channel in OFFSET_CHANNELS:
            target[k], weight[k] = offset_target(tile, channel, options)
        elif tile.instances:
            radius_px = contact_radius_px(tile.gsd_m, options)
            target[k], weight[k] = contact_mask(tile.labels, radius_px), tile.weight
    return target, weight
