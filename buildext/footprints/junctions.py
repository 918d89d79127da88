"""Junctions: where three or four walls must meet in one point.

At a node of the topology the last walls of several arcs come together, each with a line of its own
that was fitted without regard to the others. Moving the node to a point P moves every line that
ends there with it (a wall keeps its direction, so that its line is known by one point). The best
points are those that move the lines least:

    minimise  Σ over wall ends  length · (n · P - c)²  +  ε Σ |P - P₀|²

with n the wall's normal, c the offset of its fitted line and P₀ where the node was. A wall between
two nodes must pass through both: its term n · (P_a - P_b) = 0 is given a weight that overrides all
others. The system is small, sparse and positive definite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from buildext.footprints.lines import Line
from buildext.footprints.topology import Topology

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_ANCHOR = 1e-3
_RIGID = 1e6
# From 100 unknowns on, OpenBLAS solves with as many threads as it was given, and the last bits of
# the solution with them; outlines must not depend on that. The sparse solver has no threads.
_DENSE_UNKNOWNS = 64
# Facades apart by more than this, in tolerances, are not drawn in one line.
_JOG = 0.6
# Sine of the least angle between a party wall and a facade.
_FACADE = math.sin(math.radians(50))


def insert_jogs(topology: Topology, lines: list[list[Line]], tolerance_px: float) -> None:
    """Give a step to facades that run on across a party wall but not in one line.

    Where a party wall meets two facades, all three pass through the node, so that the facades come
    to lie in one line. If their lines are further apart than that is worth, the facade that stands
    further out gets a short wall of its own, in line with the party wall, down to the node.

    Args:
        topology: the buildings.
        lines: the lines of each arc; changed in place.
        tolerance_px: the tolerance.
    """
    meeting: list[list[tuple[int, bool]]] = [[] for _ in topology.nodes_xy]
    for number, arc in enumerate(topology.arcs):
        if arc.nodes is not None and lines[number]:
            meeting[arc.nodes[0]].append((number, False))
            meeting[arc.nodes[1]].append((number, True))
    for (x, y), ends in zip(topology.nodes_xy.tolist(), meeting, strict=True):
        if len(ends) != 3:
            continue
        three = [lines[number][-1 if last else 0] for number, last in ends]
        for turn in range(3):
            party = three[turn]
            # How far along the party wall, away from the node, it meets either facade.
            sign = -1.0 if ends[turn][1] else 1.0
            others = [turn - 1, turn - 2]
            reach = []
            for other in others:
                facade = three[other]
                slope = sign * (facade.cos * party.sin - facade.sin * party.cos)
                if abs(slope) >= _FACADE:
                    away = facade.offset_px - facade.cos * y + facade.sin * x
                    reach.append(away / slope)
            if len(reach) < 2 or abs(reach[0] - reach[1]) <= _JOG * tolerance_px:
                continue
            outer = others[int(reach[0] > reach[1])]
            number, last = ends[outer]
            # The step leads away from the party wall, or towards it where the facade ends here.
            onward = sign if last else -sign
            jog = party._replace(
                cos=onward * party.cos,
                sin=onward * party.sin,
                length_px=0.0,
                start_x=three[outer].start_x,
                start_y=three[outer].start_y,
            )
            lines[number].insert(len(lines[number]) if last else 0, jog)
            break


def solve_junctions(topology: Topology, lines: Sequence[Sequence[Line]]) -> FloatArray:
    """The points `(M, 2)` for the nodes that move the walls least.

    Nodes that no arc connects are solved apart, so that groups do not see each other.
    """
    count = len(topology.nodes_xy)
    open_arcs = [
        (arc.nodes, walls) for arc, walls in zip(topology.arcs, lines, strict=True) if arc.nodes
    ]
    pairs = np.array([nodes for nodes, _ in open_arcs])
    graph = sparse.coo_matrix((np.ones(len(pairs)), tuple(pairs.T)), shape=(count, count))
    parts, part_of = connected_components(graph, directed=False)
    members = np.split(np.argsort(part_of, kind="stable"), np.cumsum(np.bincount(part_of))[:-1])
    local = np.empty(count, dtype=np.int64)
    for nodes in members:
        local[nodes] = np.arange(len(nodes))
    node, row, column, value, right = _equations(open_arcs, topology.nodes_xy, local)
    # The equations of each part, in the order in which the arcs brought them.
    order = np.argsort(part_of[node], kind="stable")
    row, column, value = row[order], column[order], value[order]
    cuts = np.searchsorted(part_of[node][order], np.arange(parts + 1)).tolist()
    solved = np.empty((count, 2))
    for nodes, (a, b) in zip(members, pairwise(cuts), strict=True):
        aim = right[nodes].ravel()
        solved[nodes] = _solve(row[a:b], column[a:b], value[a:b], aim).reshape(-1, 2)
    return solved


def _equations(
    open_arcs: Sequence[tuple[tuple[int, int], Sequence[Line]]],
    nodes_xy: FloatArray,
    local: IntArray,
) -> tuple[IntArray, IntArray, IntArray, FloatArray, FloatArray]:
    """The terms of the normal equations.

    Returns:
        For each entry of the matrices `(E,)` a node of its part, its row, its column and its value;
        the same place may occur again. The right sides, `(M, 2)`.
    """
    ends = [
        (node, -line.sin, line.cos, line.length_px, line.offset_px)
        for (a, b), walls in open_arcs
        if walls
        for node, line in ((a, walls[0]), (b, walls[-1]))
    ]
    rigid = [
        (a, b, -walls[0].sin, walls[0].cos)
        for (a, b), walls in open_arcs
        if len(walls) == 1 and a != b and not walls[0].free
    ]
    node, x, y, weight, offset = np.array(ends).reshape(-1, 5).T
    at = node.astype(np.int64)
    right = _ANCHOR * nodes_xy
    np.add.at(right, at, (weight * offset)[:, None] * np.stack([x, y], axis=1))
    first, second, along_x, along_y = np.array(rigid).reshape(-1, 4).T
    from_node, to_node = first.astype(np.int64), second.astype(np.int64)

    def unknowns(node: IntArray) -> IntArray:
        return 2 * local[node][:, None] + np.arange(2)

    pair = np.concatenate([unknowns(from_node), unknowns(to_node)], axis=1)
    normal = np.stack([along_x, along_y, -along_x, -along_y], axis=1)
    blocks = (
        (at, unknowns(at), np.stack([x, y], axis=1), weight),
        (from_node, pair, normal, np.full(len(rigid), _RIGID)),
    )
    nodes, rows, columns, values = [], [], [], []
    for owner, where, factor, share in blocks:
        size = where.shape[1]
        nodes.append(np.repeat(owner, size * size))
        rows.append(np.repeat(where, size, axis=1).ravel())
        columns.append(np.tile(where, size).ravel())
        values.append((share[:, None, None] * factor[:, :, None] * factor[:, None, :]).ravel())
    return (
        np.concatenate(nodes),
        np.concatenate(rows),
        np.concatenate(columns),
        np.concatenate(values),
        right,
    )


def _solve(row: IntArray, column: IntArray, value: FloatArray, right: FloatArray) -> FloatArray:
    """The solution `(S,)` of the equations of one part."""
    size = len(right)
    if size <= _DENSE_UNKNOWNS:
        dense = np.bincount(row * size + column, value, size * size).reshape(size, size)
        return np.asarray(np.linalg.solve(dense + np.diag(np.full(size, _ANCHOR)), right))
    matrix = sparse.coo_matrix((value, (row, column)), shape=(size, size)).tocsc()
    return np.asarray(spsolve(matrix + _ANCHOR * sparse.identity(size, format="csc"), right))
