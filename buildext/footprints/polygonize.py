"""Polygons from labelled pixels, by joining the corners.

A region of whole pixels has rectilinear rings, and these are fully told by their corners: on every
horizontal grid line the corners, in order of x, are the two ends of one wall after the other, and
on every vertical grid line the same holds in order of y. So polygons can be cut into pieces
anywhere and put together without any geometric union: it is enough to collect corners, and which of
the four pixels around each belong to the region (its *quadrants*). Corners found for two pieces
that turn out to be one region are merged by joining their quadrants; walls between the pieces
vanish by themselves.

Where a region has two diagonal pixels of the four (a *saddle*), two rings' corners meet in one
point. They are joined so that each ring stays with one background pixel. Since a building is
4-connected, these two belong to different rings, and every ring is simple: what comes out is valid
as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order

# Bits of the quadrants around a grid point.
_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT = 1, 2, 4, 8
_FALLING_SADDLE = _UPPER_LEFT | _LOWER_RIGHT
_RISING_SADDLE = _UPPER_RIGHT | _LOWER_LEFT

# How many ring corners a grid point is, by its quadrants: one pixel or three make one, two diagonal
# pixels make two, two beside each other, none or all four make none.
_TURNS = np.array([q.bit_count() % 2 for q in range(16)], np.uint8)
_TURNS[[_FALLING_SADDLE, _RISING_SADDLE]] = 2


@dataclass(frozen=True, slots=True)
class Corners:
    """Corners of labelled regions; four arrays `(N,)` of one length.

    Attributes:
        owner: Label of the region.
        y: Grid line, 0 at the upper side of the first row.
        x: Grid line, 0 at the left side of the first column.
        quadrants: Which of the four pixels around are of the region (bits).
    """

    owner: NDArray[np.int32]
    y: NDArray[np.int32]
    x: NDArray[np.int32]
    quadrants: NDArray[np.uint8]

    @classmethod
    def joined(cls, parts: Iterable[Corners]) -> Corners:
        """All corners of several sets, in order."""
        sets = [_NO_CORNERS, *parts]
        return cls(
            np.concatenate([s.owner for s in sets]),
            np.concatenate([s.y for s in sets]),
            np.concatenate([s.x for s in sets]),
            np.concatenate([s.quadrants for s in sets]),
        )

    def taken(self, keep: NDArray[np.bool_]) -> Corners:
        """The corners where `keep` is True."""
        return Corners(self.owner[keep], self.y[keep], self.x[keep], self.quadrants[keep])

    def owned(self, owner: NDArray[np.int32]) -> Corners:
        """The same corners with other owners."""
        return Corners(owner, self.y, self.x, self.quadrants)


_NO_CORNERS = Corners(
    np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint8)
)


def find_corners(
    beside: NDArray[np.bool_],
    below: NDArray[np.bool_],
    labels: NDArray[np.int32],
    row: int,
    col: int,
) -> Corners:
    """Find the corners at the grid points that lie inside an array of labels.

    Args:
        beside: `(H, W - 1)`, True where a pixel's label differs from that of its right neighbour.
        below: `(H - 1, W)`, True where a pixel's label differs from that of its lower neighbour.
        labels: `(H, W)`, 0 for background.
        row: Scene row of the second row of `labels`, whose upper side is the first grid line.
        col: Scene column of the second column of `labels`.

    Returns:
        Corners with grid lines counted in the scene. A point with quadrants that are no corner (two
        pixels side by side, all four) is left out: such quadrants never change what joining gives,
        odd stays odd and even stays even.
    """
    crossing = (beside[:-1] | beside[1:]) & (below[:, :-1] | below[:, 1:])
    y, x = np.divmod(np.flatnonzero(crossing), crossing.shape[1])
    around = [labels[y, x], labels[y, x + 1], labels[y + 1, x], labels[y + 1, x + 1]]
    found = []
    for index, owner in enumerate(around):
        first = owner > 0
        for earlier in around[:index]:
            first &= earlier != owner
        quadrants = np.zeros(owner.shape, np.uint8)
        for bit, other in enumerate(around):
            quadrants |= (other == owner).astype(np.uint8) << np.uint8(bit)
        keep = first & (_TURNS[quadrants] > 0)
        corners = Corners(owner, (y + row).astype(np.int32), (x + col).astype(np.int32), quadrants)
        found.append(corners.taken(keep))
    return Corners.joined(found)


def trace_polygons(corners: Corners, count: int, filled_hole_px: int) -> NDArray[np.object_]:
    """Join the corners of closed regions into polygons.

    Args:
        corners: All corners of the regions, whose owners are 0 to `count` - 1; each region is
            4-connected and has corners.
        count: Number of regions, at least 1.
        filled_hole_px: Holes with a smaller area are left out.

    Returns:
        `(count,)` shapely polygons, oriented and started as `RawBuilding` says.
    """
    owner, y, x, across = _walls(corners)
    order, start = _rings(across)
    ring_owner = owner[order[start]]
    # Green's theorem over the horizontal walls; all rings run clockwise on the screen here.
    left, right = order[0::2], order[1::2]
    under_walls = (x[left].astype(np.int64) - x[right]) * y[left]
    area_px = np.add.reduceat(under_walls, start // 2)
    hole = np.r_[False, ring_owner[1:] == ring_owner[:-1]]
    keep = ~hole | (area_px >= filled_hole_px)
    length = np.diff(np.r_[start, order.size])
    offsets, index = _closed_rings(start, length, hole, keep)
    coordinates = np.stack([x[order[index]], y[order[index]]], axis=1).astype(np.float64)
    per_polygon = np.bincount(ring_owner[keep], minlength=count)
    polygons: NDArray[np.object_] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (offsets, np.r_[0, np.cumsum(per_polygon)])
    )
    return polygons


def _walls(
    corners: Corners,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.intp]]:
    """Merge corners at one point and pair them up.

    Returns:
        owner, y and x of the ring corners, sorted by (owner, y, x), a saddle's two corners side by
        side, so that corner i and corner i ^ 1 are the ends of one horizontal wall; and for each
        corner the other end of its vertical wall.
    """
    order = np.lexsort((corners.x, corners.y, corners.owner))
    owner, y, x = corners.owner[order], corners.y[order], corners.x[order]
    new = np.r_[True, (np.diff(owner) != 0) | (np.diff(y) != 0) | (np.diff(x) != 0)]
    first = np.flatnonzero(new)
    quadrants = np.bitwise_or.reduceat(corners.quadrants[order], first)
    turns = _TURNS[quadrants]
    point = np.repeat(first, turns)
    quadrants = np.repeat(quadrants, turns)
    owner, y, x = owner[point], y[point], x[point]
    # Of a saddle's two corners the even one begins the wall to the right, the odd one ends the wall
    # from the left. Background is upper right and lower left of a falling saddle: there the wall to
    # the right goes on upwards, so the even corner is the end of the upper vertical wall and comes
    # first. At a rising saddle it is the odd one.
    even = np.arange(point.size) % 2 == 0
    second = np.where(quadrants == _FALLING_SADDLE, ~even, even)
    vertical = np.lexsort((second, y, x, owner))
    across = np.empty(point.size, np.intp)
    across[vertical] = vertical.reshape(-1, 2)[:, ::-1].reshape(-1)
    return owner, y, x, across


def _rings(across: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Follow the walls around, horizontal and vertical in turns.

    Returns:
        The corners ring after ring, and where each ring starts among them. A ring starts at its
        first corner in sorted order, the upper left one, and goes along its horizontal wall.
    """
    along = np.arange(across.size) ^ 1  # the other end of the horizontal wall
    step = across[along]
    ends = np.arange(0, across.size + 1, 2)  # of the horizontal walls, in the list of corners
    graph = csr_array((np.ones(step.size, np.int8), step // 2, ends))
    _, ring = connected_components(graph, directed=False)
    _, wall, walls = np.unique(ring, return_index=True, return_counts=True)
    # The way back to each ring's first corner leads on to the next ring instead: so all rings are
    # one path, to be walked once.
    first = 2 * wall
    step[along[across[first]]] = np.append(first[1:], -1)
    goes_on = step >= 0
    path = csr_array(
        (np.ones(step.size - 1, np.int8), step[goes_on], np.append(0, np.cumsum(goes_on))),
        shape=(step.size, step.size),
    )
    entered = depth_first_order(path, first[0], return_predecessors=False)
    corners = np.stack([entered, along[entered]], axis=1).reshape(-1)
    return corners, 2 * (np.cumsum(walls) - walls)


def _closed_rings(
    start: NDArray[np.intp],
    length: NDArray[np.intp],
    hole: NDArray[np.bool_],
    keep: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Offsets and indices of the kept rings, first corner repeated at the end, holes reversed."""
    start, length, hole = start[keep], length[keep], hole[keep]
    offsets = np.r_[0, np.cumsum(length + 1)].astype(np.int64)
    step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length + 1)
    step = np.where(np.repeat(hole, length + 1), -step, step) % np.repeat(length, length + 1)
    return offsets, np.repeat(start, length + 1) + step
