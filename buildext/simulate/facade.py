"""Facades: floors, bays and windows on walls.

A wall is told by the place along it, s, and the height z. Floors are some 3.3 m high and bays some
3 m wide, both drawn for each structure. In a cell of a floor and a bay lies a window:

- `punched`: a hole in masonry;
- `strips`: a band of glass around the building;
- `curtain`: glass all over with thin frames;
- `blank`: none (trees, cars, boxes).

Panes differ in brightness: some reflect the sky, behind others the blinds are down.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.simulate.noise import hashed

Singles = NDArray[np.float32]


class Style(IntEnum):
    """Kinds of facades."""

    PUNCHED = 0
    STRIPS = 1
    CURTAIN = 2
    BLANK = 3


# Lower and upper end of the window in its cell: along the floor's height and the bay's width.
_WINDOWS = np.zeros((4, 4), np.float32)
_WINDOWS[Style.PUNCHED] = (0.28, 0.76, 0.22, 0.78)
_WINDOWS[Style.STRIPS] = (0.34, 0.86, 0.0, 1.0)
_WINDOWS[Style.CURTAIN] = (0.10, 1.0, 0.05, 1.0)
_WINDOWS[Style.BLANK] = (2.0, 2.0, 2.0, 2.0)
_GLASS = np.array((66, 76, 88), np.float32)
_SHOP_M = 4.2


def facade(
    style: NDArray[np.uint8],
    wall_rgb: Singles,
    salt: NDArray[np.int64],
    solid: NDArray[np.int64],
    along_m: NDArray[Any],
    height_m: NDArray[Any],
) -> Singles:
    """Colours `(3, n)` of wall pixels `(n,)` in full light.

    Args:
        style, wall_rgb, salt: of the solids, `(s,)`, `(s, 3)` and `(s,)`.
        solid: `(n,)` which one a pixel shows.
        along_m, height_m: place on the wall.
    """
    floor_m = (3.0 + 0.1 * (salt % 9)).astype(np.float32)
    bay_m = (2.2 + 0.2 * (salt % 8)).astype(np.float32)
    floor, bay = height_m / floor_m[solid], along_m / bay_m[solid]
    k, i = np.floor(floor), np.floor(bay)
    fz, fs = floor - k.astype(np.int64), bay - i
    low, high, left, right = (limit[solid] for limit in _WINDOWS[style].T)
    window = (fz > low) & (fz < high) & (fs > left) & (fs < right)
    pane = hashed(17, k.astype(np.int64), i.astype(np.int64), salt[solid])
    brightness = 0.62 + 0.5 * pane + np.where(pane > 0.93, 0.9, 0.0)
    # High floors see more sky.
    brightness = brightness * (0.9 + 0.4 * np.minimum(height_m / 80.0, 1.0))
    bright = brightness.astype(np.float32)
    curtain = (style == Style.CURTAIN)[solid]
    shop = (height_m < _SHOP_M) & (style != Style.BLANK)[solid]
    shade = np.where(shop, np.float32(0.8), np.float32(1.0))
    painted = np.empty((3, len(solid)), np.float32)
    for band in range(3):
        wall = np.ascontiguousarray(wall_rgb[:, band])[solid]
        # A curtain's glass and frames are tints of one colour.
        glass = np.where(curtain, wall, _GLASS[band]) * bright
        frame = np.where(curtain, wall * np.float32(1.25), wall)
        painted[band] = np.where(window, glass, frame) * shade
    return painted
