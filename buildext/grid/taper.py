"""Blending tapers: how much each of two overlapping tiles counts.

A network knows least near a tile's border. Where two tiles overlap, the one that fades out and the
one that fades in are weighted by the two halves of a Hann window, cos² and sin², which sum to one:
blended probabilities need no division by a sum of weights. At the outer edge of the lattice nothing
overlaps and the weight stays one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def taper(tile_px: int, overlap_px: int, *, fade_in: bool, fade_out: bool) -> FloatArray:
    """Weights `(tile_px,)` of a tile along one axis, float32.

    Args:
        tile_px: length of the tile.
        overlap_px: length shared with each neighbour, at most half of the tile.
        fade_in: the tile has a neighbour before it.
        fade_out: the tile has a neighbour behind it.
    """
    weights = np.ones(tile_px, np.float32)
    if overlap_px:
        phase = (np.arange(overlap_px, dtype=np.float64) + 0.5) / overlap_px
        # The fading-in half is one minus the other, in the precision in which they are added.
        falling = (np.cos(0.5 * np.pi * phase) ** 2).astype(np.float32)
        if fade_in:
            weights[:overlap_px] = np.float32(1) - falling
        if fade_out:
            weights[-overlap_px:] = falling
    return weights
