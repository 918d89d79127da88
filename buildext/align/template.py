"""Templates: a label as pixels, for comparing it with a raster.

The coverage of a pixel is the share of it that lies inside a polygon. It is measured on sub-pixels:
each is inside where its centre is, by the even-odd rule along its row, so holes and parts need no
special case. Coverage instead of a yes or no keeps the place of an outline to a tenth of a pixel.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.grid.window import Window

SUBPIXELS = 4


def coverage(shape: shapely.Geometry, window: Window) -> NDArray[np.float32]:
    """Share of each pixel of `window` inside a polygon or multipolygon in pixels, `(h, w)`."""
    side = SUBPIXELS
    height, width = window.height * side, window.width * side
    # One toggle a row for each edge that crosses it; a pixel is inside after an odd number.
    toggles = np.zeros((height, width + 1), np.uint8)
    for ring in shapely.get_rings(shapely.get_parts(shape)):
        xy = shapely.get_coordinates(ring)
        x = (xy[:, 0] - window.col) * side
        y = (xy[:, 1] - window.row) * side
        _toggle(toggles, x, y)
    inside = np.bitwise_xor.accumulate(toggles[:, :-1], axis=1)
    share: NDArray[np.float32] = inside.reshape(window.height, side, window.width, side).mean(
        axis=(1, 3), dtype=np.float32
    )
    return share


def _toggle(toggles: NDArray[np.uint8], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Mark where the edges of a closed ring cross the middles of rows."""
    height, columns = toggles.shape
    upwards = y[1:] < y[:-1]
    x0, x1 = np.where(upwards, x[1:], x[:-1]), np.where(upwards, x[:-1], x[1:])
    y0, y1 = np.where(upwards, y[1:], y[:-1]), np.where(upwards, y[:-1], y[1:])
    first = np.clip(np.ceil(y0 - 0.5), 0, height).astype(np.intp)
    stop = np.clip(np.ceil(y1 - 0.5), 0, height).astype(np.intp)
    count = stop - first
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]
    crossing = x0[edge] + (row + 0.5 - y0[edge]) * slope
    col = np.clip(np.ceil(crossing - 0.5), 0, columns - 1).astype(np.intp)
    np.bitwise_xor.at(toggles, (row, col), 1)
