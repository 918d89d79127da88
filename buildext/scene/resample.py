"""Resampling between two pixel grids that differ in scale only, exact in any window.

Model pixel `i` covers the base pixels `[i·s, (i + 1)·s)` on each axis (the upper left corners of
both grids coincide, so nothing moves by half a pixel). Making pixels larger (`s ≥ 1`) averages
what they cover; making them smaller interpolates linearly between pixel centres. Both are
separable: one sparse matrix for the rows, one for the columns. A row of such a matrix depends on
the index of the output pixel alone, and its terms are added in one fixed order, so the same pixel
comes out, to the last bit, whichever window asks for it.

Invalid pixels take no part: with weights `w`, values `v` and validity `m`, the result is
`Σ w m v / Σ w m`, valid where `Σ w m ≥ ½`.

The work goes by stripes of rows whose base pixels stay in the processor's cache: a window of a
mosaic may have a hundred megabytes of them, and memory would set the pace.
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
# Base pixels of a stripe; as float32 a megabyte for each band.
_STRIPE_PX = 2**18


def resampled_size(size: int, scale: float) -> int:
    """Number of model pixels that cover `size` base pixels at `scale` base pixels each."""
    return max(1, math.ceil(size / scale - _SLACK_PX))


def axis_span(start: int, stop: int, scale: float, size: int) -> tuple[int, int]:
    """The base pixels (first, end) that the model pixels `start … stop - 1` are made of."""
    if scale >= 1:
        first, last = start * scale, math.floor((stop - 1) * scale) + math.ceil(scale)
    else:
        first, last = (start + 0.5) * scale - 0.5, math.floor((stop - 0.5) * scale - 0.5) + 1
    return min(max(math.floor(first), 0), size - 1), min(max(last, 0), size - 1) + 1


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
    first, last = axis_span(start, stop, scale, size)
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
        row, row_stop = axis_span(window.row, window.row_stop, self.scale_row, self.base_height)
        col, col_stop = axis_span(window.col, window.col_stop, self.scale_col, self.base_width)
        return Window(row, col, row_stop - row, col_stop - col)

    def model_window(self, base: Window, within: Window) -> Window | None:
        """The model pixels of `within` that have a base pixel of `base` among theirs.

        Returns:
            A window that may be a little larger, or None.
        """
        # Interpolation looks one base pixel further than averaging.
        row, row_stop = (base.row - 1) / self.scale_row, (base.row_stop + 1) / self.scale_row
        col, col_stop = (base.col - 1) / self.scale_col, (base.col_stop + 1) / self.scale_col
        first_row, first_col = math.floor(row), math.floor(col)
        height, width = math.ceil(row_stop) - first_row, math.ceil(col_stop) - first_col
        return within.intersection(Window(first_row, first_col, height, width))

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
        cols, _, _ = axis_weights(window.col, window.col_stop, self.scale_col, self.base_width)
        cols = cols.astype(dtype)
        found = np.empty((len(pixels), window.height, window.width), dtype)
        found_valid = None if valid is None or valid.all() else np.empty(found.shape[1:], np.bool_)
        step = max(1, int(_STRIPE_PX / (cols.shape[1] * self.scale_row)))
        base_row = self.base_window(window).row
        for start in range(0, window.height, step):
            stop = min(start + step, window.height)
            rows, first, last = axis_weights(
                window.row + start, window.row + stop, self.scale_row, self.base_height
            )
            rows = rows.astype(dtype)
            under, here = slice(first - base_row, last - base_row), slice(start, stop)
            mask = None if valid is None else valid[under]
            if mask is None or mask.all():
                for band, out in zip(pixels, found, strict=True):
                    out[here] = _separable(rows, cols, band[under])
                if found_valid is not None:
                    found_valid[here] = True
            elif found_valid is not None:
                found_valid[here] = _masked(rows, cols, pixels[:, under], mask, found[:, here])
        return found, found_valid


def _masked(
    rows: csr_array[Any],
    cols: csr_array[Any],
    pixels: NDArray[Any],
    valid: NDArray[np.bool_],
    found: NDArray[Any],
) -> NDArray[np.bool_]:
    """Fill `found` `(C, H, W)` from the valid ones of `pixels`; its validity `(H, W)`."""
    if not valid.any():
        found[...] = 0
        return np.zeros(found.shape[1:], np.bool_)
    weight = _separable(rows, cols, valid.astype(found.dtype))
    # Fully valid pixels keep the very bits that they have in a window without invalid ones.
    divisor = np.where(weight > 1 - 1e-5, 1, np.maximum(weight, 1e-9)).astype(found.dtype)
    for band, out in zip(pixels, found, strict=True):
        np.divide(
            _separable(rows, cols, np.where(valid, band, band.dtype.type(0))), divisor, out=out
        )
    return weight >= 0.5 - 1e-5


def _separable(rows: csr_array[Any], cols: csr_array[Any], band: NDArray[Any]) -> NDArray[Any]:
    """`rows · band · colsᵀ`, `(H, W)`."""
    halfway = rows @ band.astype(rows.dtype, copy=False)
    result: NDArray[Any] = (cols @ np.ascontiguousarray(halfway.T)).T
    return result
