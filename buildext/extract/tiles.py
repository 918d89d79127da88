"""Reading tiles in the order in which they are blended.

One read covers a row of tiles of a panel: the overlap between neighbours is then decoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from buildext.extract.blend import Layout
from buildext.grid.window import Window

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Mask = Callable[[Window], BoolArray]


class Readable(Protocol):
    """What reading asks of a scene."""

    def read(self, window: Window) -> tuple[UInt8Array, BoolArray]:
        """Pixels `(C, H, W)` uint8 and the valid mask `(H, W)` of any window."""


@dataclass(frozen=True, slots=True)
class TileImage:
    """One tile as read: pixels `(C, T, T)` uint8, or None where none is valid; the valid mask
    `(T, T)`, or None where all are."""

    image: UInt8Array | None
    valid: BoolArray | None


def read_tiles(scene: Readable, layout: Layout, limit: Mask | None = None) -> Iterator[TileImage]:
    """Read the tiles of a layout in its order.

    Args:
        scene: where the pixels come from.
        layout: order and place of the tiles.
        limit: mask of the area of interest for a window; pixels outside are still seen by the
            network, as context, but nothing is predicted there.
    """
    grid = layout.grid
    size = grid.tile_px
    for panel in layout.panels():
        for row in range(panel.row, panel.row_stop):
            first, last = grid.tile(row, panel.col), grid.tile(row, panel.col_stop - 1)
            window = Window(first.row, first.col, size, last.col_stop - first.col)
            pixels, valid = scene.read(window)
            if limit is not None:
                valid = valid & limit(window)
            for col in range(panel.col, panel.col_stop):
                left = (col - panel.col) * grid.stride_px
                mask = valid[:, left : left + size]
                if not mask.any():
                    yield TileImage(None, mask)
                else:
                    yield TileImage(pixels[:, :, left : left + size], None if mask.all() else mask)
