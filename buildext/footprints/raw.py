"""The ground on which pixels become polygons: blocks in, raw buildings out.

A *block* is a finished rectangle of a scene's probabilities. A *raw building* is one building as
its pixels draw it: a rectilinear polygon whose corners are corners of pixels, before any
regularisation. Buildings that touch (share a pixel side) form a *raw group*, because whoever moves
a wall that two of them share has to see both.

Everything here lives in the scene's grid plane: x is the column, y the row, y grows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon

from buildext.grid.window import Window


@dataclass(frozen=True, slots=True)
class Block:
    """A finished part of a scene.

    Attributes:
        window: Where the block lies in the scene.
        probability: `(K, H, W)` uint8, 255 times the probability. Channel 0 is `building`, channel
            1 `contact` where the model has it; further channels are not looked at here.
        valid: `(H, W)` bool, False where the scene has no data.
    """

    window: Window
    probability: NDArray[np.uint8]
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RawBuilding:
    """One building as the network drew it.

    Attributes:
        polygon: Rectilinear and valid, integer coordinates in the grid plane, no collinear corners.
            The exterior starts at its uppermost, leftmost corner and runs along +x first (positive
            area in the plane of x and y), holes run the other way.
        confidence: Mean building probability, 0 to 1, over the pixels of the building.
        pixels: Number of pixels found to be this building; filled holes are not counted.
        touches_edge: A pixel of the building shares a side with the scene's border or with an
            invalid pixel, so the building may go on where nothing was seen.
    """

    polygon: Polygon
    confidence: float
    pixels: int
    touches_edge: bool


RawGroup: TypeAlias = tuple[RawBuilding, ...]
"""Touching buildings, sorted by (min y, min x) of their polygons."""
