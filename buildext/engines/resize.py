"""Resampling of square tiles: linear interpolation between pixel centres, smoothed when shrinking.

The weights of an output pixel are a triangle around its centre, as wide as the farther apart of the
two grids' pixels (what Pillow and torch call bilinear with antialiasing). They stand in a sparse
matrix, so a tile is resampled by two products.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float32]


def resampling(from_px: int, to_px: int) -> csr_array:
    """The weights `(to_px, from_px)` along one axis, float32; each row adds up to 1."""
    step = from_px / to_px
    reach = max(step, 1.0)
    centre = (np.arange(to_px) + 0.5) * step - 0.5
    offsets = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 2)
    source = np.floor(centre)[:, None].astype(np.intp) + offsets
    weight = np.maximum(0.0, 1.0 - np.abs(source - centre[:, None]) / reach)
    weight[(source < 0) | (source >= from_px)] = 0.0
    weight /= weight.sum(axis=1, keepdims=True)
    row, k = np.nonzero(weight)
    shape = (to_px, from_px)
    return csr_array((weight[row, k].astype(np.float32), (row, source[row, k])), shape)


def resample(weights: csr_array, tile: NDArray[np.generic]) -> Floats:
    """A tile `(C, H, W)` with H = W at the size that `weights` lead to, float32."""
    bands = len(tile)
    to_px, from_px = weights.shape
    columns = tile.astype(np.float32).transpose(1, 0, 2).reshape(from_px, bands * from_px)
    rows = (weights @ columns).reshape(to_px, bands, from_px)
    across = np.ascontiguousarray(rows.transpose(2, 1, 0)).reshape(from_px, bands * to_px)
    result: Floats = (weights @ across).reshape(to_px, bands, to_px).transpose(1, 2, 0)
    return np.ascontiguousarray(result)
