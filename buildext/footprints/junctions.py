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

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from buildext.footprints.lines import Line
from buildext.footprints.topology import Topology

FloatArray = NDArray[np.float64]

_ANCHOR = 1e-3
_RIGID = 1e6
_DENSE_UNKNOWNS = 120
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
    arcs_of: list[list[tuple[tuple[int, int], Sequence[Line]]]] = [[] for _ in range(parts)]
    local = np.empty(count, dtype=np.int64)
    for nodes in members:
        local[nodes] = np.arange(len(nodes))
    for (a, b), walls in open_arcs:
        if walls:
            arcs_of[part_of[a]].append(((int(local[a]), int(local[b])), walls))
    solved = topology.nodes_xy.copy()
    for nodes, arcs in zip(members, arcs_of, strict=True):
        solved[nodes] = _solve(topology.nodes_xy[nodes], arcs)
    return solved


def _solve(
    nodes_xy: FloatArray, arcs: Sequence[tuple[tuple[int, int], Sequence[Line]]]
) -> FloatArray:
    """The best points `(M, 2)` for connected nodes."""
    size = 2 * len(nodes_xy)
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    right = _ANCHOR * nodes_xy.ravel()

    def add(unknowns: Sequence[int], factors: Sequence[float], weight: float, aim: float) -> None:
        for a, fa in zip(unknowns, factors, strict=True):
            right[a] += weight * fa * aim
            for b, fb in zip(unknowns, factors, strict=True):
                rows.append(a)
                columns.append(b)
                values.append(weight * fa * fb)

    for (a, b), walls in arcs:
        for node, line in ((a, walls[0]), (b, walls[-1])):
            add((2 * node, 2 * node + 1), (-line.sin, line.cos), line.length_px, line.offset_px)
        if len(walls) == 1 and a != b and not walls[0].free:
            x, y = -walls[0].sin, walls[0].cos
            add((2 * a, 2 * a + 1, 2 * b, 2 * b + 1), (x, y, -x, -y), _RIGID, 0.0)
    if size <= _DENSE_UNKNOWNS:
        dense = np.diag(np.full(size, _ANCHOR))
        np.add.at(dense, (rows, columns), values)
        return np.asarray(np.linalg.solve(dense, right), dtype=np.float64).reshape(-1, 2)
    matrix = sparse.coo_matrix((values, (rows, columns)), shape=(size, size)).tocsc()
    solution = spsolve(matrix + _ANCHOR * sparse.identity(size, format="csc"), right)
    return np.asarray(solution, dtype=np.float64).reshape(-1, 2)
