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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

FloatArray = NDArray[np.float64]

_ANCHOR = 1e-3
_RIGID = 1e7
_DENSE_UNKNOWNS = 120


@dataclass(frozen=True, slots=True)
class WallEnd:
    """One wall's wish about the nodes at its ends.

    Attributes:
        nodes: the node, or the two nodes, that the wall ends at.
        normal_xy: unit normal of its line.
        offset_px: normal · point for every point of the line.
        length_px: length of the wall.
        rigid: whether a wall between two nodes must keep its direction.
    """

    nodes: tuple[int, ...]
    normal_xy: tuple[float, float]
    offset_px: float
    length_px: float
    rigid: bool = True


def solve_junctions(nodes_xy: FloatArray, ends: Sequence[WallEnd]) -> FloatArray:
    """The points `(M, 2)` for the nodes that move the walls least.

    Args:
        nodes_xy: float64 `(M, 2)`, where the nodes were.
        ends: walls with a fitted line that end at a node.
    """
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

    for end in ends:
        x, y = end.normal_xy
        for node in end.nodes:
            weight = end.length_px / len(end.nodes)
            add((2 * node, 2 * node + 1), (x, y), weight, end.offset_px)
        if end.rigid and len(end.nodes) == 2:
            a, b = end.nodes
            add((2 * a, 2 * a + 1, 2 * b, 2 * b + 1), (x, y, -x, -y), _RIGID, 0.0)
    if size <= _DENSE_UNKNOWNS:
        dense = np.diag(np.full(size, _ANCHOR))
        np.add.at(dense, (rows, columns), values)
        solved: FloatArray = np.linalg.solve(dense, right).reshape(-1, 2)
        return solved
    matrix = sparse.coo_matrix((values, (rows, columns)), shape=(size, size)).tocsc()
    solution = spsolve(matrix + _ANCHOR * sparse.identity(size, format="csc"), right)
    return np.asarray(solution, dtype=np.float64).reshape(-1, 2)
