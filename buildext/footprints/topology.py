"""Topology: which stretch of boundary belongs to which buildings.

The outline of a raw building runs along *cracks*, the unit edges between pixels. Where two buildings
touch, the same cracks belong to both. If each outline were reshaped alone, the two copies of a party
wall would drift apart, leaving gaps and overlaps. So the boundaries of a whole group are first cut
into *arcs*, as in a topological map:

- a *node* is a corner of the pixel grid where three or four cracks meet: a party wall begins there,
  or two outlines touch;
- an *arc* is a run of cracks between two nodes, or a closed ring without a node. It is kept once,
  together with the one or two buildings that it bounds.

Whatever is then done to an arc happens to both its buildings at once: shared walls stay shared by
construction. A ring is a sequence of arcs, each forward or backward; `outline` puts the reshaped
arcs together again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Arc:
    """A run of cracks with the same building on either side.

    Attributes:
        points_xy: corners of the pixel grid along the arc, float64 `(N + 1, 2)`, one pixel apart;
            the last equals the first where the arc is closed.
        owners: the one or two buildings that it bounds, ascending.
        nodes: the node at its start and at its end, or None where the arc is closed on itself.
    """

    points_xy: FloatArray
    owners: tuple[int, ...]
    nodes: tuple[int, int] | None

    @property
    def closed(self) -> bool:
        """Whether the arc is a whole ring."""
        return self.nodes is None


@dataclass(frozen=True, slots=True)
class Topology:
    """The arcs and nodes of a group of buildings.

    Attributes:
        arcs: every stretch of boundary once.
        nodes_xy: float64 `(M, 2)`, where arcs meet.
        rings: for each building its rings, the exterior first; a ring is a sequence of
            (arc, forward).
    """

    arcs: list[Arc]
    nodes_xy: FloatArray
    rings: list[list[list[tuple[int, bool]]]]

    def outline(self, building: int, lines_xy: Sequence[FloatArray]) -> Polygon:
        """The polygon of one building, from the reshaped line `(N, 2)` of each arc."""
        shells = [ring_xy(ring, lines_xy) for ring in self.rings[building]]
        return Polygon(shells[0], shells[1:])


def ring_xy(ring: Sequence[tuple[int, bool]], lines_xy: Sequence[FloatArray]) -> FloatArray:
    """The closed ring `(N, 2)` that a sequence of arcs describes."""
    if len(ring) == 1:
        arc, forward = ring[0]
        return lines_xy[arc] if forward else lines_xy[arc][::-1]
    parts = [(lines_xy[arc] if forward else lines_xy[arc][::-1])[:-1] for arc, forward in ring]
    return np.concatenate([*parts, parts[0][:1]])


def cut_into_arcs(polygons: Sequence[Polygon]) -> Topology:
    """Cut the boundaries of a group of buildings into arcs.

    Args:
        polygons: rectilinear polygons with corners on whole pixels, which may touch one another
            but not overlap.
    """
    rings: list[FloatArray] = []
    ring_owner: list[int] = []
    # Oriented alike, two neighbours walk along their common wall in opposite directions.
    for building, polygon in enumerate(shapely.orient_polygons(np.asarray(polygons))):
        for ring in (polygon.exterior, *polygon.interiors):
            rings.append(walk_cracks(shapely.get_coordinates(ring)))
            ring_owner.append(building)

    corners = np.concatenate([ring[:-1] for ring in rings]).astype(np.int64)
    ends = np.concatenate([ring[1:] for ring in rings]).astype(np.int64)
    origin = corners.min(axis=0)
    corners, ends = corners - origin, ends - origin
    width = int(corners[:, 0].max()) + 2
    corner_key = corners[:, 1] * width + corners[:, 0]
    crack_key = 2 * np.minimum(corner_key, ends[:, 1] * width + ends[:, 0]) + (
        corners[:, 1] != ends[:, 1]
    )
    is_node = np.isin(corner_key, node_keys(crack_key, width))

    arcs: list[Arc] = []
    arc_of: dict[int, int] = {}
    node_of: dict[int, int] = {}
    layout: list[list[list[tuple[int, bool]]]] = [[] for _ in polygons]
    start = 0
    for ring, owner in zip(rings, ring_owner, strict=True):
        stop = start + len(ring) - 1
        here = slice(start, stop)
        sequence: list[tuple[int, bool]] = []
        for points_xy, cracks, node_pair in _pieces(
            ring, crack_key[here], corner_key[here], np.flatnonzero(is_node[here])
        ):
            # A crack lies on one arc only, so that its lowest crack names an arc from both sides.
            name = int(cracks.min())
            known = arc_of.get(name)
            if known is None:
                arc_of[name] = len(arcs)
                sequence.append((len(arcs), True))
                nodes = (
                    None
                    if node_pair is None
                    else (
                        node_of.setdefault(node_pair[0], len(node_of)),
                        node_of.setdefault(node_pair[1], len(node_of)),
                    )
                )
                arcs.append(Arc(points_xy, (owner,), nodes))
            else:
                first = arcs[known]
                if owner not in first.owners:
                    owners = tuple(sorted((*first.owners, owner)))
                    arcs[known] = Arc(first.points_xy, owners, first.nodes)
                sequence.append((known, False))
        layout[owner].append(sequence)
        start = stop

    keys = np.fromiter(node_of, dtype=np.int64, count=len(node_of))
    nodes_xy = np.stack([keys % width, keys // width], axis=1) + origin
    return Topology(arcs, nodes_xy.astype(np.float64), layout)


def walk_cracks(ring_xy: FloatArray) -> FloatArray:
    """Every corner of the pixel grid along a rectilinear ring: `(M, 2)` → `(N + 1, 2)`."""
    steps = np.diff(ring_xy, axis=0)
    lengths = np.abs(steps).sum(axis=1).astype(np.int64)
    total = int(lengths.sum())
    edge = np.repeat(np.arange(len(lengths)), lengths)
    along = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    points = np.empty((total + 1, 2))
    points[:-1] = ring_xy[edge] + np.sign(steps)[edge] * along[:, None]
    points[-1] = points[0]
    return points


def node_keys(crack_key: IntArray, width: int) -> IntArray:
    """Grid corners where more than two different cracks meet.

    Args:
        crack_key: int64 `(N,)`; twice the key of the crack's first corner, plus 1 where it is
            vertical.
        width: number of corners in a row of the grid.
    """
    cracks = np.unique(crack_key)
    first = cracks // 2
    second = first + np.where(cracks % 2 == 1, width, 1)
    keys, degree = np.unique(np.concatenate([first, second]), return_counts=True)
    return keys[degree > 2]


def _pieces(
    ring: FloatArray, cracks: IntArray, corners: IntArray, nodes: IntArray
) -> list[tuple[FloatArray, IntArray, tuple[int, int] | None]]:
    """One ring cut at its nodes: points, cracks and the two nodes of each piece."""
    if len(nodes) == 0:
        return [(ring, cracks, None)]
    shift = int(nodes[0])
    points = np.concatenate([ring[shift:-1], ring[: shift + 1]])
    cracks, corners = np.roll(cracks, -shift), np.roll(corners, -shift)
    cuts = [*(int(node) - shift for node in nodes), len(cracks)]
    keys = [*(int(corners[cut]) for cut in cuts[:-1]), int(corners[0])]
    return [
        (points[a : b + 1], cracks[a:b], (keys[n], keys[n + 1]))
        for n, (a, b) in enumerate(zip(cuts[:-1], cuts[1:], strict=True))
    ]
