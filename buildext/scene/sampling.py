"""A bounded look at a scene: some of its pixels, spread over all of it.

Square cells at full resolution, drawn evenly over the area of the files, give real pixel values
(an overview would hold averages, whose percentiles are too close together), at a cost that does not
grow with the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildext.errors import NoValidPixelError
from buildext.grid.window import Window
from buildext.scene.plane import Plane

_CELL_PX = 256
_CELLS = 64
_STRIP_PX = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid pixels `(C, N)` of a scene, and the estimated share of the scene that is valid."""

    pixels: NDArray[Any]
    valid_fraction: float


def take_sample(plane: Plane) -> Sample:
    """Sample up to 64 cells of 256 × 256 px; the same ones each time.

    Raises:
        NoValidPixelError: no pixel of the whole scene is valid (it is then read to its end).
    """
    cells = _Cells(plane)
    pixels, seen = [], 0
    for window in cells.drawn(_CELLS):
        found, valid = plane.read(window)
        flat = found.reshape(plane.channels, -1)
        pixels.append(flat if valid is None else flat[:, valid.ravel()])
        seen += window.pixels
    sample = np.concatenate(pixels, axis=1)
    covered = cells.pixels / (plane.height * plane.width)
    fraction = min(1.0, covered * sample.shape[1] / seen)
    if sample.shape[1] == 0:
        sample = _first_valid(plane)
        fraction = sample.shape[1] / (plane.height * plane.width)
    return Sample(sample, fraction)


class _Cells:
    """All cells of all files, numbered file by file and row by row."""

    def __init__(self, plane: Plane) -> None:
        self._windows = [p.window for p in plane.placed]
        self._columns = [-(-w.width // _CELL_PX) for w in self._windows]
        counts = [
            c * -(-w.height // _CELL_PX) for c, w in zip(self._columns, self._windows, strict=True)
        ]
        self._ends = np.cumsum(counts)
        self.pixels = sum(w.pixels for w in self._windows)

    def drawn(self, count: int) -> Iterator[Window]:
        """One cell from each of `count` equal parts of the numbering, at a random place in it."""
        total = int(self._ends[-1])
        edges = np.linspace(0, total, min(count, total) + 1)
        offset = np.random.default_rng(0).random(len(edges) - 1)
        # Random within each part: a fixed step could follow a column of the grid.
        for number in np.unique((edges[:-1] + offset * np.diff(edges)).astype(int)):
            yield self._window(int(number))

    def _window(self, number: int) -> Window:
        file = int(np.searchsorted(self._ends, number, side="right"))
        within = number - (int(self._ends[file - 1]) if file else 0)
        whole, columns = self._windows[file], self._columns[file]
        cell = Window(
            whole.row + within // columns * _CELL_PX,
            whole.col + within % columns * _CELL_PX,
            _CELL_PX,
            _CELL_PX,
        ).intersection(whole)
        assert cell is not None  # cells tile their file
        return cell


def _first_valid(plane: Plane) -> NDArray[Any]:
    """The valid pixels of the first part of the scene that has any, `(C, N)`."""
    for placed in plane.placed:
        whole = placed.window
        for row in range(whole.row, whole.row_stop, _STRIP_PX):
            for col in range(whole.col, whole.col_stop, _STRIP_PX):
                part = Window(row, col, _STRIP_PX, _STRIP_PX).intersection(whole)
                assert part is not None  # it starts inside
                pixels, valid = plane.read(part)
                if valid is None or valid.any():
                    flat = pixels.reshape(plane.channels, -1)
                    return flat if valid is None else flat[:, valid.ravel()]
    names = ", ".join(p.source.name for p in plane.placed[:3])
    raise NoValidPixelError(
        f"{names}: no valid pixel; expected an image that is not all nodata",
        hint="check the nodata value and the mask of the file",
    )
