"""Topology: which stretch of boundary belongs to which buildings.

The outline of a raw building runs along *cracks*, the unit edges between pixels. Where two
buildings touch, the same cracks belong to both. If each outline were reshaped alone, the two copies
of a party wall would drift apart, leaving gaps and overlaps. So the boundaries of a whole group are
first cut into *arcs*, as in a topological map:

- a *node* is a corner of the pixel grid where three or four cracks meet: a party wall begins there,
  or two outlines touch;
- an *arc* is a run of cracks between two nodes, or a closed ring without a node. It is kept once,
  together with the one or two buildings that it bounds.

Whatever is then done to an arc happens to both its buildings at once: shared walls stay shared by
construction. A ring is a sequence of arcs, each forward or backward; `outlines` puts the reshaped
arcs together again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import LinearRing, Polygon

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Coordinates of a ring, at least.
_LEAST_RING = 4


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

    def taken(self, chosen: NDArray[np.bool_]) -> tuple[Topology, list[int]]:
        """The topology of some buildings, none of which touches one left out.

        Returns:
            The topology and the former numbers of its arcs.
        """
        building = np.cumsum(chosen) - 1
        kept = [number for number, arc in enumerate(self.arcs) if chosen[arc.owners[0]]]
        nodes = sorted({node for number in kept for node in self.arcs[number].nodes or ()})
        node_at = {node: number for number, node in enumerate(nodes)}
        arc_at = {arc: number for number, arc in enumerate(kept)}
        arcs = [
            Arc(
                arc.points_xy,
                tuple(int(building[owner]) for owner in arc.owners),
                None if arc.nodes is None else (node_at[arc.nodes[0]], node_at[arc.nodes[1]]),
            )
            for arc in (self.arcs[number] for number in kept)
        ]
        rings = [
            [[(arc_at[arc], forward) for arc, forward in ring] for ring in self.rings[number]]
            for number in np.flatnonzero(chosen).tolist()
        ]
        return Topology(arcs, self.nodes_xy[nodes].reshape(-1, 2), rings), kept

    def outlines(self, lines_xy: Sequence[FloatArray]) -> list[Polygon]:
        """The polygons of all buildings, from the reshaped line `(N, 2)` of each arc."""
        rings = [ring_xy(ring, lines_xy) for rings in self.rings for ring in rings]
        drawn = shapely.linearrings(
            np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), [len(r) for r in rings])
        )
        owner = np.repeat(np.arange(len(self.rings)), [len(rings) for rings in self.rings])
        polygons: list[Polygon] = shapely.polygons(drawn, indices=owner).tolist()
        return polygons


def ring_xy(ring: Sequence[tuple[int, bool]], lines_xy: Sequence[FloatArray]) -> FloatArray:
    """The closed ring `(N, 2)` that a sequence of arcs describes."""
    parts = [(lines_xy[arc] if forward else lines_xy[arc][::-1])[:-1] for arc, forward in ring]
    # Arcs drawn as a line there and back enclose nothing: repeated points keep that a (void) ring.
    missing = max(_LEAST_RING - sum(len(part) for part in parts), 1)
    return np.concatenate([*parts, np.repeat(parts[0][:1], missing, axis=0)])


def cut_into_arcs(polygons: Sequence[Polygon], shelves: IntArray | None = None) -> Topology:
    """Cut the boundaries of buildings into arcs.

    Args:
        polygons: rectilinear polygons with corners on whole pixels, no coordinate negative, which
            may touch one another but not overlap.
        shelves: int64 `(N,)`, rows to move each polygon down by before it is compared with the
            others. It keeps groups apart whose coordinates are each counted from a corner of their
            own. The arcs stay in the coordinates of the polygons.
    """
    # Oriented alike, two neighbours walk along their common wall in opposite directions.
    oriented = shapely.orient_polygons(np.asarray(polygons))
    rings, ring_owner = shapely.get_rings(oriented, return_index=True)
    points_xy, start = walk_cracks(rings)

    ring_of = np.repeat(np.arange(len(rings)), np.diff(start))
    stacked = points_xy.astype(np.int64)
    if shelves is not None:
        stacked[:, 1] += shelves[ring_owner[ring_of]]
    width = int(stacked[:, 0].max()) + 2
    corner_key = stacked[:, 1] * width + stacked[:, 0]
    # Each ring ends where it began: the crack that would leave its last corner does not exist.
    real = np.ones(len(stacked), dtype=bool)
    real[start[1:] - 1] = False
    step = np.zeros(len(stacked), dtype=np.int64)
    step[:-1] = np.diff(corner_key)
    crack_key = 2 * np.minimum(corner_key, corner_key + step) + (np.abs(step) == width)
    is_node = find_nodes(corner_key, crack_key, start)
    lowest = np.minimum.reduceat(np.where(real, crack_key, np.iinfo(np.int64).max), start[:-1])

    builder = _Builder(points_xy, corner_key, crack_key)
    layout: list[list[list[tuple[int, bool]]]] = [[] for _ in polygons]
    with_node = np.logical_or.reduceat(is_node, start[:-1])
    for ring, owner in enumerate(ring_owner.tolist()):
        first, last = int(start[ring]), int(start[ring + 1]) - 1
        if with_node[ring]:
            nodes = first + np.flatnonzero(is_node[first:last])
            layout[owner].append(builder.cut_ring(first, last, nodes.tolist(), owner))
        else:
            layout[owner].append([builder.add_ring(first, last, int(lowest[ring]), owner)])
    return Topology(builder.arcs, builder.nodes_xy(), layout)


def walk_cracks(rings: Sequence[LinearRing]) -> tuple[FloatArray, IntArray]:
    """Every corner of the pixel grid along rectilinear rings.

    Returns:
        Corners, float64 `(N, 2)`, each ring ending where it began, and int64 `(R + 1,)`, where each
        ring starts among them.
    """
    vertices, ring = shapely.get_coordinates(rings, return_index=True)
    steps = np.zeros_like(vertices)
    steps[:-1] = np.diff(vertices, axis=0)
    last = np.append(ring[1:] != ring[:-1], True)
    steps[last] = 0
    # The last vertex of a ring leads nowhere and counts as a single corner.
    lengths = np.abs(steps).sum(axis=1).astype(np.int64)
    lengths[last] = 1
    ends = np.cumsum(lengths)
    edge = np.repeat(np.arange(len(lengths)), lengths)
    along = np.arange(int(ends[-1])) - (ends - lengths)[edge]
    points = vertices[edge] + np.sign(steps)[edge] * along[:, None]
    return points, np.concatenate([[0], ends[last]])


def find_nodes(corner_key: IntArray, crack_key: IntArray, start: IntArray) -> NDArray[np.bool_]:
    """Which corners are nodes: more than two different cracks meet there.

    Args:
        corner_key: int64 `(N,)`, names the place of each corner.
        crack_key: int64 `(N,)`, names the crack that leaves each corner.
        start: int64 `(R + 1,)`, where each ring starts; its last corner repeats its first.

    Returns:
        bool `(N,)`; False at the last corner of each ring, whatever its first is.
    """
    leaving = np.delete(np.arange(len(corner_key)), start[1:] - 1)
    # Of a place that is walked through once, two cracks are all there is.
    order = leaving[np.argsort(corner_key[leaving], kind="stable")]
    same = np.diff(corner_key[order]) == 0
    again = order[np.append(same, False) | np.append(False, same)]
    before = again - 1
    ring = np.searchsorted(start, again, side="right") - 1
    before = np.where(again == start[ring], start[ring + 1] - 2, before)
    pair = np.sort([crack_key[before], crack_key[again]], axis=0)
    place = corner_key[again]
    # A wall that two buildings share is walked both ways, over the same two cracks each time.
    other = (np.diff(place) == 0) & (np.diff(pair, axis=1) != 0).any(axis=0)
    nodes = np.zeros(len(corner_key), dtype=bool)
    nodes[again] = np.isin(place, place[1:][other])
    return nodes


class _Builder:
    """Collects arcs ring by ring and recognises those that a neighbour has brought already."""

    def __init__(self, points_xy: FloatArray, corner_key: IntArray, crack_key: IntArray) -> None:
        self.arcs: list[Arc] = []
        self._points_xy, self._corner_key, self._crack_key = points_xy, corner_key, crack_key
        self._arc_of: dict[int, int] = {}
        self._node_of: dict[int, int] = {}
        self._node_xy: list[FloatArray] = []

    def nodes_xy(self) -> FloatArray:
        """Where the nodes are, `(M, 2)`."""
        return np.array(self._node_xy).reshape(-1, 2)

    def add_ring(self, first: int, last: int, lowest: int, owner: int) -> tuple[int, bool]:
        """A ring without a node: one closed arc."""
        return self._add(lowest, self._points_xy[first : last + 1], None, owner)

    def cut_ring(
        self, first: int, last: int, nodes: list[int], owner: int
    ) -> list[tuple[int, bool]]:
        """A ring from corner `first` to `last`, cut at the corners that are nodes."""
        sequence = []
        turn = np.concatenate([np.arange(nodes[0], last), np.arange(first, nodes[0] + 1)])
        cuts = [node - nodes[0] for node in nodes] + [last - first]
        for a, b in pairwise(cuts):
            corners = turn[a : b + 1]
            ends = (self._node(int(corners[0])), self._node(int(corners[-1])))
            lowest = int(self._crack_key[corners[:-1]].min())
            sequence.append(self._add(lowest, self._points_xy[corners], ends, owner))
        return sequence

    def _node(self, corner: int) -> int:
        key = int(self._corner_key[corner])
        if key not in self._node_of:
            self._node_of[key] = len(self._node_xy)
            self._node_xy.append(self._points_xy[corner])
        return self._node_of[key]

    def _add(
        self, lowest: int, points_xy: FloatArray, nodes: tuple[int, int] | None, owner: int
    ) -> tuple[int, bool]:
        # A crack lies on one arc only, so that its lowest crack names an arc from both sides. What
        # is known already has been walked by the neighbour, the other way round.
        known = self._arc_of.get(lowest)
        if known is None:
            self._arc_of[lowest] = len(self.arcs)
            self.arcs.append(Arc(points_xy, (owner,), nodes))
            return len(self.arcs) - 1, True
        first = self.arcs[known]
        self.arcs[known] = Arc(first.points_xy, tuple(sorted({*first.owners, owner})), first.nodes)
        return known, False
