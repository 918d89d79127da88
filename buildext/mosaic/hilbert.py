"""The Hilbert curve: an order of places in which neighbours in the list are neighbours on the map.

It runs through every cell of a square of 2ⁿ × 2ⁿ cells, from one to the next beside it, quarter by
quarter. Features sorted along it fall into row groups and partitions with small bounding boxes, so
that a reader who wants one quarter of a city skips nearly everything else.

D. Hilbert, "Ueber die stetige Abbildung einer Linie auf ein Flächenstück", Mathematische Annalen
38, 1891. The steps here are those of the definition: at every level the quarter is found, and what
is inside is turned so that it begins and ends where its neighbours expect it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def hilbert_index(x: ArrayLike, y: ArrayLike, levels: int) -> NDArray[np.int64]:
    """The place along the curve of each cell.

    Args:
        x: columns `(N,)`, 0 to 2^levels - 1.
        y: rows `(N,)`, likewise.
        levels: n, at most 31.

    Returns:
        `(N,)` numbers from 0 to 4^levels - 1.
    """
    x, y = np.array(x, np.int64), np.array(y, np.int64)
    index = np.zeros(x.shape, np.int64)
    for level in range(levels - 1, -1, -1):
        side = np.int64(1) << level
        right, down = (x & side) > 0, (y & side) > 0
        # Quarters in the order upper left, lower left, lower right, upper right.
        quarter = np.where(down, np.where(right, 2, 1), np.where(right, 3, 0))
        index += quarter * side * side
        x &= side - 1
        y &= side - 1
        # The first quarter is mirrored at one diagonal, the last at the other.
        last = quarter == 3
        x[last], y[last] = side - 1 - x[last], side - 1 - y[last]
        swapped = (quarter == 0) | last
        x[swapped], y[swapped] = y[swapped], x[swapped]
    return index
