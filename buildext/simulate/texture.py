"""Textures: what surfaces look like from above, as patches of real or made-up ground.

A surface has a stack of square patches at the output's GSD. Ground is covered by cells of about
8 m, their borders bent by noise; each shows some part of some patch, mirrored or not, chosen by a
hash of the cell, so that the covering goes on for ever and never repeats. Roofs keep one patch
each, mirrored at its borders and laid along the building; there a patch only modulates the colour
of the roof.

Patches are cut from scenes by `cutting`; what has none there is made up here: noise of several
scales around a few colours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.simulate.noise import Noise, hashed

Singles = NDArray[np.float32]

PATCH_M = 12.0
# Side of a cell, and by how much its borders bend to either side, as shares of a patch.
_CELL, _BEND = 0.6, 0.12
_MADE_UP = 6
# What is coarser than this in patches is drawn towards the mean of all by this share, lest the
# ground be a quilt.
_COARSE_M, _EVEN = 1.5, 0.85


class Surface(IntEnum):
    """Kinds of surfaces."""

    PLAIN = 0
    GRASS = 1
    SOIL = 2
    PAVED = 3
    ASPHALT = 4
    TREE = 5
    FLAT_ROOF = 6
    PITCHED_ROOF = 7


GROUND = (Surface.GRASS, Surface.SOIL, Surface.PAVED, Surface.ASPHALT)
MODULATING = (Surface.TREE, Surface.FLAT_ROOF, Surface.PITCHED_ROOF)

# Mean colour, contrast of coarse (3 m), middling (0.9 m) and fine (one pixel) noise.
_RECIPES: Mapping[Surface, tuple[tuple[int, int, int], float, float, float]] = {
    Surface.GRASS: ((104, 118, 70), 0.16, 0.14, 0.10),
    Surface.SOIL: ((168, 142, 112), 0.10, 0.08, 0.06),
    Surface.PAVED: ((162, 157, 149), 0.08, 0.05, 0.04),
    Surface.ASPHALT: ((104, 104, 106), 0.06, 0.03, 0.03),
    Surface.TREE: ((128, 128, 128), 0.25, 0.45, 0.25),
    Surface.FLAT_ROOF: ((128, 128, 128), 0.07, 0.035, 0.04),
    Surface.PITCHED_ROOF: ((128, 128, 128), 0.06, 0.06, 0.06),
}


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches `(n, s, s, 3)` uint8 for some surfaces, at `gsd_m`."""

    gsd_m: float
    stacks: Mapping[Surface, NDArray[np.uint8]]


class Textures:
    """Looks up colours of surfaces.

    Args:
        patches: cut from scenes; surfaces without any are made up.
        gsd_m: GSD of the output.
        seed: of everything random.
    """

    def __init__(self, patches: Patches | None, gsd_m: float, seed: int) -> None:
        self._seed = seed
        # A power of two: places in a patch are then found by masking bits.
        self._side = 2 ** max(2, math.floor(math.log2(PATCH_M / gsd_m)))
        self._cell, self._bend_px = _CELL * self._side, _BEND * self._side
        self._stacks = {}
        for surface in (*GROUND, *MODULATING):
            stack = None if patches is None else patches.stacks.get(surface)
            if stack is None or patches is None:
                stack = _made_up(surface, self._side, gsd_m, seed)
            else:
                stack = _resized(stack, max(round(PATCH_M / gsd_m), self._side))
                stack = stack[:, : self._side, : self._side]
            stack = _around_grey(stack) if surface in MODULATING else _evened(stack, gsd_m)
            # By band, `(3, n, s, s)`: a look-up of single numbers is faster than one of triples.
            self._stacks[surface] = np.ascontiguousarray(np.moveaxis(stack, -1, 0))

    def ground(
        self,
        surface: Surface,
        col: NDArray[Any],
        row: NDArray[Any],
        bend_x: Singles,
        bend_y: Singles,
    ) -> Singles:
        """Colours `(3, n)` of ground pixels `(n,)`, int32.

        Args:
            surface: one of `GROUND`.
            col, row: places in pixels.
            bend_x, bend_y: noise from 0 to 1 that bends the borders of the cells.
        """
        side, cell = self._side, np.float32(self._cell)
        bend = np.float32(2 * self._bend_px)
        cx = np.floor((col + bend * (bend_x - np.float32(0.5))) / cell).astype(np.int32)
        cy = np.floor((row + bend * (bend_y - np.float32(0.5))) / cell).astype(np.int32)
        stack = self._stacks[surface]
        # One draw a cell serves the patch, the mirroring and the part of the patch that is shown.
        draw = hashed(self._seed + 31 * int(surface), cx, cy)
        patch = (draw * stack.shape[1]).astype(np.int32)
        mirror = (draw * 1024).astype(np.int32)
        shift = (draw * 65536).astype(np.int32)
        x = col - (cx * cell).astype(np.int32) + shift
        y = row - (cy * cell).astype(np.int32) + shift
        # Flipping all bits counts backwards.
        x ^= -(mirror & 1)
        y ^= -(mirror >> 1 & 1)
        x &= side - 1
        y &= side - 1
        return _take(stack, patch, y, x)

    def modulation(
        self, surface: Surface, u: Singles, v: Singles, salt: NDArray[np.int64]
    ) -> Singles:
        """Factors `(3, n)` around 1 at (u, v) pixels along and across a solid."""
        side, stack = self._side, self._stacks[surface]
        number = (salt & 0x7FFFFFFF).astype(np.int32)
        x = np.floor(u).astype(np.int32) + number
        y = np.floor(v).astype(np.int32) + (number >> 10)
        # A mirrored covering: 0 1 2 … s-1 s-1 … 1 0 0 1 …
        x = (x ^ -(x // side & 1)) & (side - 1)
        y = (y ^ -(y // side & 1)) & (side - 1)
        return _take(stack, number % stack.shape[1], y, x) * np.float32(1 / 128)


def _take(
    stack: NDArray[np.uint8], patch: NDArray[np.int32], y: NDArray[np.int32], x: NDArray[np.int32]
) -> Singles:
    """Colours `(3, n)` of places in patches `(3, n, s, s)`."""
    side = stack.shape[2]
    place = ((patch * side + y) * side + x).astype(np.intp)
    colours = np.empty((3, len(place)), np.float32)
    for band, values in enumerate(stack.reshape(3, -1)):
        colours[band] = values.take(place)
    return colours


def _made_up(surface: Surface, side: int, gsd_m: float, seed: int) -> NDArray[np.uint8]:
    """Patches of noise in three scales."""
    mean, coarse, middling, fine = _RECIPES[surface]
    steps = np.arange(side)
    stack = []
    for k in range(_MADE_UP):
        noise = Noise(seed + 977 * k + 53 * int(surface))
        x, y = steps[None, :] + 300 * k, steps[:, None]
        value = np.ones((side, side), np.float32)
        for contrast, step_m in ((coarse, 3.0), (middling, 0.9), (fine, gsd_m)):
            value += 2 * contrast * (noise.at(x, y, max(step_m / gsd_m, 1.0)) - 0.5)
        tint = 1 + 0.08 * (hashed(seed, k, int(surface), np.arange(3)) - 0.5)
        stack.append(value[..., None] * np.array(mean, np.float32) * tint)
    return _bytes(np.stack(stack))


def _resized(stack: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Patches brought to another number of pixels; smoothed first where they shrink."""
    from scipy import ndimage

    have = stack.shape[1]
    if have == side:
        return stack
    values = stack.astype(np.float32)
    if have > side:
        sigma = 0.42 * have / side
        values = ndimage.gaussian_filter(values, (0, sigma, sigma, 0), mode="mirror")
    centres = (np.arange(side) + 0.5) * have / side - 0.5
    low = np.clip(np.floor(centres).astype(int), 0, have - 2)
    share = np.clip(centres - low, 0, 1).astype(np.float32)
    rows = values[:, low] * (1 - share)[:, None, None] + values[:, low + 1] * share[:, None, None]
    both = rows[:, :, low] * (1 - share)[:, None] + rows[:, :, low + 1] * share[:, None]
    return _bytes(np.rint(both))


def _evened(stack: NDArray[np.uint8], gsd_m: float) -> NDArray[np.uint8]:
    """Patches whose coarse light and shade is drawn towards the mean colour of all."""
    from scipy import ndimage

    sigma = _COARSE_M / gsd_m
    coarse = ndimage.gaussian_filter(stack.astype(np.float32), (0, sigma, sigma, 0), mode="mirror")
    wanted = (1 - _EVEN) * coarse + _EVEN * stack.mean(axis=(0, 1, 2))
    return _bytes(stack * (wanted / np.maximum(coarse, 1)))


def _around_grey(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    means = stack.mean(axis=(1, 2), keepdims=True)
    return _bytes(stack * (128 / np.maximum(means, 1)))


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    clipped: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return clipped
