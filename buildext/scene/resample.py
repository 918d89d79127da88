"""Resampling between two pixel grids that differ in scale only, exact in any window.

Model pixel `i` covers the base pixels `[i·s, (i + 1)·s)` on each axis (the upper left corners of
both grids coincide, so nothing moves by half a pixel). Making pixels larger (`s ≥ 1`) averages
what they cover; making them smaller interpolates linearly between pixel centres. Both are
separable: one sparse matrix for the rows, one for the columns. A row of such a matrix depends on
the index of the output pixel alone, and its terms are added in one fixed order, so the same pixel
comes out, to the last bit, whichever window asks for it.

Invalid pixels take no part: with weights `w`, values `v` and validity `m`, the result is
`Σ w m v / Σ w m`, valid where `Σ w m ≥ ½`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from buildext.grid.window import Window

# A grid of 99.9999999 model pixels is one of 100, not of 101.
_SLACK_PX = 1e-6


def resampled_size(size: int, scale: float) -> int:
    """Number of model pixels that cover `size` base pixels at `scale` base pixels each."""
    return max(1, math.ceil(size / scale - _SLACK_PX))


def axis_weights(
    start: int, stop: int, scale: float, size: int
) -> tuple[csr_array[np.float64], int, int]:
    """Weights of base pixels for the model pixels `start … stop - 1` along one axis.

    Args:
        start: first model pixel, ≥ 0.
        stop: end of the model pixels, ≤ `resampled_size(size, scale)`.
        scale: base pixels per model pixel.
        size: base pixels along the axis; beyond them there is nothing to weigh.

    Returns:
        Sparse matrix `(stop - start, last - first)` whose rows sum to 1, `first`, `last`.
    """
    out = np.arange(start, stop, dtype=np.float64)
    if scale >= 1:
        low, high = out * scale, np.minimum((out + 1) * scale, size)
        taps = np.floor(low)[:, None] + np.arange(math.ceil(scale) + 1)
        weights = np.minimum(taps + 1, high[:, None]) - np.maximum(taps, low[:, None])
        weights = np.maximum(weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
    else:
        centre = (out + 0.5) * scale - 0.5
        taps = np.floor(centre)[:, None] + np.arange(2)
        weights = 1 - np.abs(taps - centre[:, None])
    columns = np.clip(taps, 0, size - 1).astype(np.int32)
    first, last = int(columns.min()), int(columns.max()) + 1
    pointers = np.arange(out.size + 1, dtype=np.int32) * taps.shape[1]
    matrix = csr_array(
        (weights.ravel(), columns.ravel() - first, pointers), shape=(out.size, last - first)
    )
    return matrix, first, last


class Resampler:
    """Maps windows of the model grid to windows of the base grid, and pixels back."""

    def __init__(self, height: int, width: int, scale_row: float, scale_col: float) -> None:
        """`height`, `width`: base grid in px; scales: base pixels per model pixel."""
        self.base_height, self.base_width = height, width
        self.scale_row, self.scale_col = scale_row, scale_col
        self.height = resampled_size(height, scale_row)
        self.width = resampled_size(width, scale_col)

    def base_window(self, window: Window) -> Window:
        """The base pixels that the model pixels of `window` (inside the model grid) need."""
        _, row, row_stop = axis_weights(
            window.row, window.row_stop, self.scale_row, self.base_height
        )
        _, col, col_stop = axis_weights(
            window.col, window.col_stop, self.scale_col, self.base_width
        )
        return Window(row, col, row_stop - row, col_stop - col)

    def nearest(self, window: Window) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns in `base_window(window)` under the centres of the model pixels."""
        base = self.base_window(window)
        rows = (np.arange(window.row, window.row_stop) + 0.5) * self.scale_row
        cols = (np.arange(window.col, window.col_stop) + 0.5) * self.scale_col
        return (
            np.clip(rows.astype(np.intp) - base.row, 0, base.height - 1),
            np.clip(cols.astype(np.intp) - base.col, 0, base.width - 1),
        )

    def apply(
        self, window: Window, pixels: NDArray[Any], valid: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Resample the pixels of `base_window(window)`.

        Args:
            window: in the model grid, inside it.
            pixels: `(C, h, w)` of any real dtype.
            valid: `(h, w)`, or None where every pixel is valid.

        Returns:
            Pixels `(C, H, W)`, float32 (float64 for float64), and validity `(H, W)` or None.
        """
        dtype = np.float64 if pixels.dtype == np.float64 else np.float32
        rows, _, _ = axis_weights(window.row, window.row_stop, self.scale_row, self.base_height)
        cols, _, _ = axis_weights(window.col, window.col_stop, self.scale_col, self.base_width)
        rows, cols = rows.astype(dtype), cols.astype(dtype)
        if valid is None or valid.all():
            return np.stack([_separable(rows, cols, band) for band in pixels]), None
        weight = _separable(rows, cols, valid.astype(dtype))
        # Fully valid pixels keep the very bits that they have in a window without invalid ones.
        divisor = np.where(weight > 1 - 1e-5, 1, np.maximum(weight, 1e-9)).astype(dtype)
        zero = pixels.dtype.type(0)
        bands = [_separable(rows, cols, np.where(valid, band, zero)) / divisor for band in pixels]
        return np.stack(bands), weight >= 0.5 - 1e-5


def _separable(rows: csr_array[Any], cols: csr_array[Any], band: NDArray[Any]) -> NDArray[Any]:
    """`rows · band · colsᵀ`, `(H, W)` contiguous."""
    halfway = rows @ band.astype(rows.dtype, copy=False)
    result: NDArray[Any] = (cols @ np.ascontiguousarray(halfway.T)).T
    return result
