"""Solids: everything in a scene that stands up, with its looks.

A building's tier, a parapet, a box on a roof, a tree, a car: each is a solid with a kind, colours
and the numbers that its textures need. `Solids` keeps many of them in flat arrays; batches of them
are joined and turned into faces together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.simulate.faces import Faces, Pieces, build_faces

Floats = NDArray[np.float64]
Polygons = NDArray[np.object_]


class Kind(IntEnum):
    """What a solid is."""

    BUILDING = 0
    CLUTTER = 1
    TREE = 2
    CAR = 3


@dataclass(frozen=True, slots=True)
class Looks:
    """What solids are and look like.

    Attributes:
        kind: `(n,)` uint8, a `Kind`.
        structure: `(n,)` structure that the solid belongs to, -1 for trees and cars.
        roof_rgb: `(n, 3)` float32, 0 to 255, of a sunlit level surface.
        wall_rgb: `(n, 3)` the same for walls.
        texture: `(n,)` uint8, see `texture`.
        facade: `(n,)` uint8, see `facade`.
        axis: `(n, 2)` unit vector along the solid.
        salt: `(n,)` a number of its own.
    """

    kind: NDArray[np.uint8]
    structure: NDArray[np.int64]
    roof_rgb: NDArray[np.float32]
    wall_rgb: NDArray[np.float32]
    texture: NDArray[np.uint8]
    facade: NDArray[np.uint8]
    axis: NDArray[np.float32]
    salt: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True)
class Solids:
    """Solids with their roof pieces.

    Attributes:
        pieces: roof pieces; `pieces.solid` indexes the arrays below.
        outlines: `(n,)` in the plane.
        base_m: `(n,)` lower ends.
        looks: what they look like.
    """

    pieces: Pieces
    outlines: Polygons
    base_m: Floats
    looks: Looks

    def __len__(self) -> int:
        return len(self.outlines)

    def faces(self) -> Faces:
        """The faces of all solids."""
        return build_faces(self.pieces, self.outlines, self.base_m)


def level_pieces(polygons: Polygons, top_m: Floats, walled: bool = True) -> Pieces:
    """One level piece for each of `(n,)` polygons without parts."""
    count = len(polygons)
    return Pieces(
        polygons=shapely.orient_polygons(polygons),
        solid=np.arange(count),
        slope_xy=np.zeros((count, 2)),
        offset_m=np.asarray(top_m, np.float64),
        walled=np.full(count, walled),
        split=np.zeros(count, bool),
    )


def join(batches: Sequence[Solids]) -> Solids:
    """One batch of all the solids."""
    first = np.cumsum([0, *(len(batch) for batch in batches)])
    pieces = [
        replace(batch.pieces, solid=batch.pieces.solid + start)
        for batch, start in zip(batches, first[:-1], strict=True)
    ]
    return Solids(
        pieces=Pieces(*(_stack(pieces, field.name) for field in fields(Pieces))),
        outlines=_stack(batches, "outlines"),
        base_m=_stack(batches, "base_m"),
        looks=join_looks([batch.looks for batch in batches]),
    )


def join_looks(batches: Sequence[Looks]) -> Looks:
    """The looks of all batches, one after the other."""
    return Looks(*(_stack(batches, field.name) for field in fields(Looks)))


def _stack(batches: Sequence[Any], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(batch, name) for batch in batches])
