"""Simplification: fewer vertices, no pixel staircase, and nothing moved far.

Two steps. The first takes the staircase away: every corner of a crack outline is cut off half a
pixel before and after it, so that a wall that runs across the grid becomes a nearly straight chain
instead of teeth. The second is the coverage simplification of GEOS (Visvalingam and Whyatt, 1993:
remove the vertex whose triangle is smallest), which treats walls that two buildings share once and
never lets boundaries cross.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shapely import Polygon

from buildext.footprints.topology import Topology

FloatArray = NDArray[np.float64]


def smooth_outlines(topology: Topology) -> list[Polygon]:
    """The outlines of all buildings without the pixel staircase; shared walls stay shared."""
    lines = [bevel(arc.points_xy, closed=arc.closed) for arc in topology.arcs]
    return topology.outlines(lines)


def pixel_outlines(topology: Topology) -> list[Polygon]:
    """The outlines as they are, with a vertex where the walls of others begin.

    Two outlines that touch then have the same vertices all along their common wall.
    """
    lines = []
    for arc in topology.arcs:
        steps = np.diff(arc.points_xy, axis=0)
        turns = np.concatenate([[True], (steps[1:] != steps[:-1]).any(axis=1), [True]])
        lines.append(arc.points_xy[turns])
    return topology.outlines(lines)


def bevel(points_xy: FloatArray, *, closed: bool) -> FloatArray:
    """Cut the corners of a crack line `(N + 1, 2)` at the middle of the cracks beside them.

    Straight stretches keep two points; the ends of an open line stay where they are.
    """
    middles = (points_xy[:-1] + points_xy[1:]) / 2
    steps = np.diff(points_xy, axis=0)
    turns = (steps[1:] != steps[:-1]).any(axis=1)
    if closed:
        first = bool((steps[0] != steps[-1]).any())
        before = np.concatenate([[first], turns])
        keep = before | np.concatenate([turns, [first]])
        ring = middles[keep]
        return np.concatenate([ring, ring[:1]])
    keep = np.concatenate([[False], turns]) | np.concatenate([turns, [False]])
    return np.concatenate([points_xy[:1], middles[keep], points_xy[-1:]])
