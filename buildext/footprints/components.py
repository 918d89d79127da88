"""The ledger of components: which of them are one building, which touch, which are closed.

A sweep over blocks finds *components*, local pieces of buildings, and notes two kinds of pairs:
*links* (one building) and *touches* (neighbours across a pixel side; two buildings, unless links
elsewhere say otherwise). After a block row components become buildings, and buildings that touch
become groups, both by linking. A group of which nothing can still change is *closed*: it is handed
out and forgotten; what stays is renumbered. So the ledger is as large as what is open, and since
the pairs are those of the whole raster, only found in pieces, the outcome does not depend on the
pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.polygonize import Corners
from buildext.footprints.separate import linked


@dataclass(frozen=True, slots=True)
class Buildings:
    """Measures of `N` buildings, and what they look like.

    Attributes:
        pixels: `(N,)` number of pixels.
        core: `(N,)` number of those that reach the core's threshold.
        total: `(N,)` sum of 255 × building probability over them.
        edge: `(N,)` True where one of them lies beside the scene's border or invalid pixels.
        touches: `(P, 2)` pairs of buildings that share a pixel side, each pair once.
        corners: All corners, owned by buildings.
    """

    pixels: NDArray[np.int64]
    core: NDArray[np.int64]
    total: NDArray[np.int64]
    edge: NDArray[np.bool_]
    touches: NDArray[np.int32]
    corners: Corners

    def taken(self, keep: NDArray[np.bool_]) -> Buildings:
        """The buildings where `keep` is True, renumbered from 0 in order."""
        number = (np.cumsum(keep) - 1).astype(np.int32)
        corners = self.corners.taken(keep[self.corners.owner])
        return Buildings(
            self.pixels[keep],
            self.core[keep],
            self.total[keep],
            self.edge[keep],
            number[self.touches[keep[self.touches].all(axis=1)]],
            corners.owned(number[corners.owner]),
        )


class Components:
    """What is known of the components that are not closed; number 0 is the background."""

    def __init__(self) -> None:
        self._restart(
            Buildings(
                pixels=np.zeros(1, np.int64),
                core=np.zeros(1, np.int64),
                total=np.zeros(1, np.int64),
                edge=np.zeros(1, np.bool_),
                touches=np.empty((0, 2), np.int32),
                corners=Corners.joined([]),
            ),
            np.zeros(1, np.bool_),
        )

    def _restart(self, known: Buildings, leftover: NDArray[np.bool_]) -> None:
        self._count = known.pixels.size
        self._leftover = [leftover]
        self._owner = [np.arange(self._count, dtype=np.int32)]
        self._pixels, self._core = [known.pixels], [known.core]
        self._total, self._edge = [known.total], [known.edge]
        self._links: list[NDArray[np.int32]] = []
        self._touches = [known.touches]
        self._corners = [known.corners]

    def add(self, number: int, *, leftover: bool = False) -> NDArray[np.int32]:
        """Register new components, of interior pixels or of leftovers; returns their numbers."""
        fresh = np.arange(self._count, self._count + number, dtype=np.int32)
        self._count += number
        self._leftover.append(np.full(number, leftover))
        return fresh

    def link(self, one: NDArray[np.int32], other: NDArray[np.int32]) -> None:
        """Note components that are of one building, pair by pair."""
        self._links.append(_distinct(one, other))

    def touch(self, one: NDArray[np.int32], other: NDArray[np.int32]) -> None:
        """Note components of which pixels share a side, pair by pair."""
        self._touches.append(_distinct(one, other))

    def measure(
        self,
        owner: NDArray[np.int32],
        pixels: NDArray[np.int64],
        core: NDArray[np.int64],
        total: NDArray[np.int64],
        edge: NDArray[np.bool_],
    ) -> None:
        """Note pixels of components.

        Args:
            owner: `(N,)` the components.
            pixels: how many.
            core: how many of them reach the core's threshold.
            total: sum of 255 × their probability.
            edge: whether one lies at an edge.
        """
        self._owner.append(owner)
        self._pixels.append(pixels)
        self._core.append(core)
        self._total.append(total)
        self._edge.append(edge)

    def outline(self, corners: Corners) -> None:
        """Note corners, owned by components."""
        self._corners.append(corners)

    def settle(self, waiting: NDArray[np.int32]) -> tuple[Buildings, NDArray[np.int32]]:
        """Take out the closed groups.

        Args:
            waiting: Components that may still grow, touch or be linked.

        Returns:
            The buildings of the closed groups; and the new number of each component, 0 for those
            that are forgotten.
        """
        leftover = np.concatenate(self._leftover)
        touches = np.concatenate(self._touches)
        # Leftovers side by side are one building, a seam pixel beside an interior is not.
        same = leftover[touches].all(axis=1)
        count, building = linked(self._count, np.concatenate([*self._links, touches[same]]))
        owner = building[np.concatenate(self._owner)]
        pixels, core, total, edge = np.zeros((4, count), np.int64)
        np.add.at(pixels, owner, np.concatenate(self._pixels))
        np.add.at(core, owner, np.concatenate(self._core))
        np.add.at(total, owner, np.concatenate(self._total))
        np.add.at(edge, owner, np.concatenate(self._edge))
        touches = building[touches]
        touches = _distinct(*touches[touches[:, 0] != touches[:, 1]].T)
        corners = Corners.joined(self._corners)
        corners = corners.owned(building[corners.owner])
        known = Buildings(pixels, core, total, edge > 0, touches, corners)

        groups, group = linked(count, touches)
        open_group = np.zeros(groups, np.bool_)
        open_group[group[building[waiting]]] = True
        open_group[group[building[0]]] = True  # the background is never handed out
        stays = open_group[group]
        left = np.zeros(count, np.bool_)
        left[building[leftover]] = True
        self._restart(known.taken(stays), left[stays])
        number = np.where(stays, np.cumsum(stays) - 1, 0).astype(np.int32)
        return known.taken(~stays), number[building]


def _distinct(one: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int32]:
    """`(P, 2)` pairs, the smaller number first, each pair once."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    packed = np.unique(low.astype(np.int64) << 32 | high)
    return np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1).astype(np.int32)
