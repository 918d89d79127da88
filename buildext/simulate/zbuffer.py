"""The z-buffer: for each pixel, the highest face that falls on it.

Faces are plane polygons, told by their edges as the view sees them. Each row of pixel centres that
a polygon crosses is cut by its edges into spans (even-odd rule, so holes need no care), and each
pixel of a span gets the face's height there. Height and face travel in one integer,

    height in millimetres · 2²⁴ + (face + 1)

so that one maximum finds both; a double holds it exactly up to 500 km. The ground is 0. Whatever
the window, a pixel's value is computed from the same numbers in the same order: the split into
tiles leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.grid.window import Window
from buildext.simulate.view import Depth

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_FACES = 2.0**24
_MM_PER_M = 1000.0
# Pixels filled at once: the arrays of a fill stay in the processor's cache.
_FILL_PX = 150_000


@dataclass(frozen=True, slots=True)
class SeenFaces:
    """Faces in a view's image.

    Attributes:
        edges: `(e, 4)` x0, y0, x1, y1 in pixels, those of a face together.
        edge_face: `(e,)` which face, ascending.
        depth: heights of the faces.
    """

    edges: Floats
    edge_face: Integers
    depth: Depth


def draw(faces: SeenFaces, window: Window) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Height in metres and face (-1: ground) of each pixel of a window, both `(h, w)`."""
    buffer = _buffer(faces, window)
    height = np.floor(buffer * (1 / _FACES))
    buffer -= height * _FACES
    return _metres(height, window), buffer.astype(np.int32).reshape(window.height, window.width) - 1


def draw_heights(faces: SeenFaces, window: Window) -> NDArray[np.float32]:
    """The heights alone."""
    return _metres(np.floor(_buffer(faces, window) * (1 / _FACES)), window)


def _metres(height_mm: Floats, window: Window) -> NDArray[np.float32]:
    return (height_mm * (1 / _MM_PER_M)).astype(np.float32).reshape(window.height, window.width)


def _buffer(faces: SeenFaces, window: Window) -> Floats:
    """Height and face in one number for each pixel `(h * w,)`; 0 is the ground."""
    buffer = np.zeros(window.pixels)
    face, row, start, stop = _spans(faces, window)
    # Level along the rows, as most roofs and all crowns are: one height for a whole span.
    level = np.zeros(len(face), bool)
    if faces.depth.denominator is None:
        level = (faces.depth.numerator[:, 1] == 0)[face]
    for chosen in (np.flatnonzero(level), np.flatnonzero(~level)):
        length = (stop - start)[chosen]
        ends = np.cumsum(length)
        begin = 0
        while begin < len(length):
            done = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, done + _FILL_PX, side="right")))
            part = chosen[begin:end]
            fill = _fill_level if level[part[0]] else _fill
            fill(buffer, faces.depth, window, face[part], row[part], start[part], length[begin:end])
            begin = end
    return buffer


def _expand(starts: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """Each interval's index once for each of its numbers, and the numbers themselves."""
    which = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return which, np.arange(len(which)) - (first - starts)[which]


def _spans(faces: SeenFaces, window: Window) -> tuple[Integers, Integers, Integers, Integers]:
    """Face, row, first column and the column after the last of all spans in the window."""
    x0, y0, x1, y1 = faces.edges.T
    # Lower end first, so that an edge shared by two faces is cut by the same arithmetic.
    swap = (y0 > y1) | ((y0 == y1) & (x0 > x1))
    x0, x1 = np.where(swap, x1, x0), np.where(swap, x0, x1)
    y0, y1 = np.where(swap, y1, y0), np.where(swap, y0, y1)
    first = np.maximum(np.ceil(y0 - 0.5), window.row).astype(np.int64)
    last = np.minimum(np.ceil(y1 - 0.5), window.row_stop).astype(np.int64)
    edge, row = _expand(first, np.maximum(last - first, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (x1 - x0) / (y1 - y0)
    x = x0[edge] + (row + 0.5 - y0[edge]) * slope[edge]
    face = faces.edge_face[edge]
    # Faces come one after the other, which a merge sort makes use of.
    line = face * window.height + (row - window.row)
    order = np.argsort(_sort_key(line, x, window), kind="stable")
    left, right = order[0::2], order[1::2]
    start = np.maximum(np.ceil(x[left] - 0.5), window.col).astype(np.int64)
    stop = np.minimum(np.ceil(x[right] - 0.5), window.col_stop).astype(np.int64)
    some = stop > start
    return face[left][some], row[left][some], start[some], stop[some]


def _sort_key(line: Integers, x: Floats, window: Window) -> Integers:
    """One integer to sort by: the line, then x, in sixteenths of a pixel where the window is."""
    steps = np.clip((x - window.col) * 16, -1, window.width * 16 + 1).astype(np.int64) + 1
    return line * (window.width * 16 + 3) + steps


def _fill(
    buffer: Floats,
    depth: Depth,
    window: Window,
    face: Integers,
    row: Integers,
    start: Integers,
    length: Integers,
) -> None:
    """Raise the buffer to the heights of some spans."""

    def each(values: NDArray[Any]) -> Floats:
        return np.repeat(values, length)

    first = np.cumsum(length) - length
    pixel = np.arange(int(length.sum()))
    centre = pixel + each(start - first + 0.5)
    a, b, c = depth.numerator[face].T
    height = each(a + c * (row + 0.5)) + each(b) * centre
    if depth.denominator is not None:
        d, e, f = depth.denominator[face].T
        height /= each(d + f * (row + 0.5)) + each(e) * centre
    pixel += np.repeat((row - window.row) * window.width + start - window.col - first, length)
    np.maximum.at(buffer, pixel, _keys(height, each(face + 1.0)))


def _fill_level(
    buffer: Floats,
    depth: Depth,
    window: Window,
    face: Integers,
    row: Integers,
    start: Integers,
    length: Integers,
) -> None:
    """The same for spans along which the height does not change."""
    a, _, c = depth.numerator[face].T
    keys = _keys(a + c * (row + 0.5), face + 1.0)
    first = np.cumsum(length) - length
    pixel = np.arange(int(length.sum()))
    pixel += np.repeat((row - window.row) * window.width + start - window.col - first, length)
    np.maximum.at(buffer, pixel, np.repeat(keys, length))


def _keys(height_m: Floats, face: NDArray[Any]) -> Floats:
    """Heights and faces in one number each; overwrites the heights."""
    height_m *= _MM_PER_M
    np.rint(height_m, out=height_m)
    height_m *= _FACES
    height_m += face
    return height_m
