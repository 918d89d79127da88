"""Shadows: what the sun does not see.

The sun's image of the scene, a parallel view like that of a satellite, holds the height of the
highest thing on each of its rays. A point is lit if nothing on its own ray is higher. On the ground
the sun's image is the plane itself, so the outline of a shadow on the ground is exact to the pixel:
its length is height / tan(elevation).

The image is made in blocks of 1024 pixels on a fixed grid, some of which are kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.simulate.kept import Kept
from buildext.simulate.view import Parallel
from buildext.simulate.world import World
from buildext.simulate.zbuffer import draw_heights

Singles = NDArray[np.float32]

_BLOCK_PX = 1024
# 4 MB each.
_KEPT_BLOCKS = 40


class SunMap:
    """The scene as the sun sees it."""

    def __init__(self, world: World, sun: Parallel) -> None:
        self._world, self.sun = world, sun
        self._block = Kept(self._draw, _KEPT_BLOCKS)

    def read(self, window: Window) -> Singles:
        """Height of the highest thing on each ray of a window, `(h, w)`, 0 for the ground."""
        out = np.empty((window.height, window.width), np.float32)
        side = _BLOCK_PX
        for i in range(window.row // side, (window.row_stop - 1) // side + 1):
            for j in range(window.col // side, (window.col_stop - 1) // side + 1):
                block = Window(i * side, j * side, side, side)
                shared = block.intersection(window)
                assert shared is not None  # the blocks were chosen so
                rows, cols = shared.shifted(-window.row, -window.col).slices
                inner_rows, inner_cols = shared.shifted(-block.row, -block.col).slices
                out[rows, cols] = self._block(i, j)[inner_rows, inner_cols]
        return out

    def above(self, x: NDArray[np.float64], y: NDArray[np.float64], z_m: Singles) -> Singles:
        """How much higher than points `(n,)` the highest thing on their rays is, in metres."""
        if not len(x):
            return np.empty(0, np.float32)
        sx, sy = self.sun.to_image(x, y, z_m)
        col, row = np.floor(sx).astype(np.int32), np.floor(sy).astype(np.int32)
        window = Window(int(row.min()), int(col.min()), int(np.ptp(row)) + 1, int(np.ptp(col)) + 1)
        heights = self.read(window).ravel()
        place = (row - np.int32(window.row)) * np.int32(window.width) + (col - np.int32(window.col))
        excess: Singles = heights[place] - z_m
        return excess

    def _draw(self, i: int, j: int) -> Singles:
        window = Window(i * _BLOCK_PX, j * _BLOCK_PX, _BLOCK_PX, _BLOCK_PX)
        return draw_heights(self._world.seen(self.sun, window).faces, window)
