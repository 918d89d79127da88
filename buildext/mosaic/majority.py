"""Majority: the file that most of a building's pixels come from.

In a mosaic neighbouring pixels may come from different files, and a building that lies across such
a seam has several. It is given the one that shows most of it; among equals the one with the lowest
number. A raw building's polygon is rectilinear, so its pixels are found without a rasteriser: along
a row, every vertical wall turns inside to outside and back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from buildext.grid.window import Window

SourcesOf = Callable[[Window], NDArray[np.uint16]]
# Pixels that are looked at together.
_STRIP_PX = 4_000_000
_PAGES_KEPT = 64


class PagedSources:
    """Numbers of files, read in squares of which the last ones are kept.

    A read from a file costs as much as hundreds from an array, and buildings come in thousands.

    Args:
        read: numbers of files of a window of the lattice.
        page_px: side of the squares.
    """

    def __init__(self, read: SourcesOf, page_px: int) -> None:
        self._read = read
        self._page_px = page_px
        self._kept: OrderedDict[tuple[int, int], NDArray[np.uint16]] = OrderedDict()

    def __call__(self, window: Window) -> NDArray[np.uint16]:
        """Numbers of files `(H, W)` of a window."""
        numbers = np.empty((window.height, window.width), np.uint16)
        size = self._page_px
        for row in range(window.row // size, -(-window.row_stop // size)):
            for col in range(window.col // size, -(-window.col_stop // size)):
                page = Window(row * size, col * size, size, size)
                part = page.intersection(window)
                assert part is not None
                inside = part.shifted(-page.row, -page.col).slices
                place = part.shifted(-window.row, -window.col).slices
                numbers[place] = self._page(page)[inside]
        return numbers

    def _page(self, page: Window) -> NDArray[np.uint16]:
        key = page.row, page.col
        if key not in self._kept:
            if len(self._kept) >= _PAGES_KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = self._read(page)
        self._kept.move_to_end(key)
        return self._kept[key]


def majority_source(polygons: Sequence[Polygon], sources_of: SourcesOf) -> NDArray[np.int32]:
    """The file of most pixels of each polygon.

    Args:
        polygons: rectilinear, with corners on whole pixels of the lattice.
        sources_of: numbers of files `(H, W)` of a window of the lattice, 0 for none.

    Returns:
        `(N,)` numbers; 0 where no pixel inside has a file.
    """
    return np.array([_majority(polygon, sources_of) for polygon in polygons], np.int32)


def _majority(polygon: Polygon, sources_of: SourcesOf) -> int:
    left, top, right, bottom = map(int, polygon.bounds)
    width = right - left
    rows = max(1, _STRIP_PX // width)
    votes = np.zeros(1, np.int64)
    for row in range(top, bottom, rows):
        window = Window(row, left, min(rows, bottom - row), width)
        numbers = sources_of(window)
        if row == top and window.row_stop == bottom:
            there = numbers[numbers > 0]
            # Most buildings lie within one file: no need to know which pixels are theirs.
            if there.size and there.min() == there.max():
                return int(there[0])
        found = np.bincount(numbers[_inside(polygon, window)])
        found[:1] = 0
        if found.size > votes.size:
            votes, found = found, votes
        votes[: found.size] += found
    return int(votes.argmax())


def _inside(polygon: Polygon, window: Window) -> NDArray[np.bool_]:
    """The pixels `(H, W)` of a window that lie inside a rectilinear polygon."""
    corners, ring = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    corners = corners.astype(np.int64)
    walls = np.flatnonzero((np.diff(corners[:, 0]) == 0) & (np.diff(ring) == 0))
    turned = np.zeros((window.height, window.width), np.bool_)
    for wall in walls.tolist():
        x = corners[wall, 0] - window.col
        y = sorted((corners[wall, 1] - window.row, corners[wall + 1, 1] - window.row))
        first, last = (min(max(edge, 0), window.height) for edge in y)
        # A wall on the right side of the window turns nothing in it.
        if x < window.width:
            turned[first:last, x] ^= True
    inside: NDArray[np.bool_] = np.logical_xor.accumulate(turned, axis=1)
    return inside
