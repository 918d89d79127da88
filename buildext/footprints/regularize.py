"""Regularisation: outlines made of straight walls in the building's own directions.

For a group of touching buildings, cut into arcs (`topology`):

1. each building gets its frames (`directions`); where two buildings touch and nearly agree, the
   smaller takes over the frame of the larger, so that a row of houses has one direction;
2. each arc is divided into walls along the axes of the buildings that it bounds (`walls`);
3. every frame is refitted to all walls that follow it, and every wall gets its line;
4. nodes move to where the walls that end there meet (`junctions`);
5. consecutive lines are intersected: these are the new corners.

Nothing here judges the result; `shape` does, and asks again with the arcs that went wrong left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.directions import QUARTER, angle_between, find_frames, fit_frame
from buildext.footprints.junctions import WallEnd, solve_junctions
from buildext.footprints.topology import Topology
from buildext.footprints.walls import Axis, Wall, candidate_corners, find_walls, start_at_corner

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RegularMode = Literal["right-angles", "right-angles-and-diagonals", "any-angle"]

# Price of a wall, in tolerance³: what a step of half the tolerance along six tolerances costs.
_WALL_PRICE = 0.75
_DIAGONAL_PRICE = 1.5
_FREE_PRICE = {"right-angles": 2.5, "right-angles-and-diagonals": 2.5, "any-angle": 1.5}
_FRAMES = {"right-angles": 1, "right-angles-and-diagonals": 1, "any-angle": 3}
# Touching buildings whose frames differ by less share one.
_SAME_FRAME = math.radians(5)
# Corners are searched for on a chain simplified by this share of the tolerance.
_CORNER_SHARE = 1 / 3
_LEAST_CORNER_TOLERANCE_PX = 0.75


@dataclass(frozen=True, slots=True)
class Chain:
    """An arc on its way to walls: its cracks, where walls may begin, and the walls."""

    points_xy: FloatArray
    corners: IntArray
    walls: list[Wall]

    def polyline(self) -> FloatArray:
        """The chain simplified to its candidate corners, `(K, 2)`."""
        points = self.points_xy[self.corners]
        middles = (self.points_xy[:-1] + self.points_xy[1:]) / 2
        points[1:-1] = middles[self.corners[1:-1]]
        return points


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line in the plane: `normal · point = offset`."""

    heading: float
    normal_xy: tuple[float, float]
    offset_px: float
    length_px: float


def prepare(topology: Topology, mode: RegularMode, tolerance_px: float) -> list[Chain]:
    """Divide every arc of a group into walls (steps 1 and 2)."""
    points = [
        start_at_corner(arc.points_xy) if arc.closed else arc.points_xy for arc in topology.arcs
    ]
    corners = candidate_corners(
        points,
        [arc.closed for arc in topology.arcs],
        max(_LEAST_CORNER_TOLERANCE_PX, _CORNER_SHARE * tolerance_px),
    )
    bare = [Chain(xy, at, []) for xy, at in zip(points, corners, strict=True)]
    axes = _axes(topology, bare, mode)
    price = _WALL_PRICE * tolerance_px**3
    return [
        Chain(
            chain.points_xy,
            chain.corners,
            find_walls(
                chain.points_xy,
                chain.corners,
                axes[number],
                closed=arc.closed,
                tolerance_px=tolerance_px,
                price=price,
                free_price=_FREE_PRICE[mode],
            ),
        )
        for number, (arc, chain) in enumerate(zip(topology.arcs, bare, strict=True))
    ]


def _axes(topology: Topology, chains: Sequence[Chain], mode: RegularMode) -> list[list[Axis]]:
    """The axes that the walls of each arc may follow."""
    buildings = len(topology.rings)
    edges: list[list[FloatArray]] = [[] for _ in range(buildings)]
    neighbours: list[set[int]] = [set() for _ in range(buildings)]
    for arc, chain in zip(topology.arcs, chains, strict=True):
        vectors = np.diff(chain.polyline(), axis=0)
        for owner in arc.owners:
            edges[owner].append(vectors)
            neighbours[owner].update(other for other in arc.owners if other != owner)
    joined = [np.concatenate(parts) for parts in edges]
    lengths = np.array([np.hypot(part[:, 0], part[:, 1]).sum() for part in joined])

    angles: list[float] = []
    frames: list[list[int]] = [[] for _ in range(buildings)]
    order = np.argsort(-lengths, kind="stable").tolist()
    for building in order:
        for angle in find_frames(joined[building], most=_FRAMES[mode]):
            near = [
                (abs(float(angle_between(np.array(angles[frame]), angle))), frame)
                for other in neighbours[building]
                for frame in frames[other]
            ]
            closest = min(near, default=(math.inf, -1))
            if closest[0] < _SAME_FRAME:
                frames[building].append(closest[1])
            else:
                frames[building].append(len(angles))
                angles.append(angle)

    turns = [(0.0, 1.0), (QUARTER, 1.0)]
    if mode == "right-angles-and-diagonals":
        turns += [(QUARTER / 2, _DIAGONAL_PRICE), (1.5 * QUARTER, _DIAGONAL_PRICE)]
    result: list[list[Axis]] = []
    for arc in topology.arcs:
        owners = sorted(arc.owners, key=lambda owner: -lengths[owner])
        here = dict.fromkeys(frame for owner in owners for frame in frames[owner])
        result.append(
            [
                Axis(frame, turn, angles[frame] + turn, price)
                for frame in here
                for turn, price in turns
            ]
        )
    return result


def draw(topology: Topology, chains: Sequence[Chain], tolerance_px: float) -> list[FloatArray]:
    """The regular line of every arc (steps 3 to 5); a chain without walls keeps its polyline.

    Args:
        topology: the group.
        chains: one for each arc; without walls where the arc is not to be regularised.
        tolerance_px: how much of either end of a wall may be a rounded corner.
    """
    cracks = [
        ((chain.points_xy[:-1] + chain.points_xy[1:]) / 2, np.abs(np.diff(chain.points_xy, axis=0)))
        for chain in chains
    ]
    angles = _refit_frames(chains, [middles for middles, _ in cracks], tolerance_px)
    lines = [
        [_line(*cracks[number], wall, angles, tolerance_px) for wall in chain.walls]
        for number, chain in enumerate(chains)
    ]
    nodes_xy = topology.nodes_xy
    if len(nodes_xy):
        nodes_xy = solve_junctions(nodes_xy, _wall_ends(topology, lines))
    drawn: list[FloatArray] = []
    for arc, chain, walls in zip(topology.arcs, chains, lines, strict=True):
        if arc.nodes is None:
            drawn.append(_closed_line(walls) if walls else chain.polyline())
        else:
            start, end = nodes_xy[arc.nodes[0]], nodes_xy[arc.nodes[1]]
            drawn.append(_open_line(chain, walls, start, end))
    return drawn


def _trimmed(wall: Wall, tolerance_px: float) -> slice:
    """The cracks of a wall without the rounded corners at its ends."""
    trim = int(min(tolerance_px, (wall.stop - wall.start) / 5))
    return slice(wall.start + trim, wall.stop - trim)


def _refit_frames(
    chains: Sequence[Chain], middles: Sequence[FloatArray], tolerance_px: float
) -> dict[int, float]:
    scatters: dict[int, list[tuple[float, float, float]]] = {}
    turns: dict[int, list[float]] = {}
    for chain, points in zip(chains, middles, strict=True):
        for wall in chain.walls:
            if wall.axis is None:
                continue
            part = points[_trimmed(wall, tolerance_px)]
            centred = part - part.mean(axis=0)
            x, y = centred[:, 0], centred[:, 1]
            scatters.setdefault(wall.axis.frame, []).append(
                (float(x @ x), float(x @ y), float(y @ y))
            )
            turns.setdefault(wall.axis.frame, []).append(wall.axis.turn)
    return {
        frame: fit_frame(np.array(scatters[frame]), np.array(turns[frame])) for frame in scatters
    }


def _line(
    middles: FloatArray,
    steps: FloatArray,
    wall: Wall,
    angles: dict[int, float],
    tolerance_px: float,
) -> Line:
    heading = wall.heading
    if wall.axis is not None:
        # The refitted frame is known up to a quarter turn: take the one nearest to the heading.
        angle = angles[wall.axis.frame] + wall.axis.turn
        heading = angle + QUARTER * round((heading - angle) / QUARTER)
    x, y = math.cos(heading), math.sin(heading)
    part = _trimmed(wall, tolerance_px)
    weight = steps[part] @ (abs(x), abs(y))
    across = middles[part] @ (-y, x)
    return Line(heading, (-y, x), float(weight @ across / weight.sum()), float(weight.sum()))


def _wall_ends(topology: Topology, lines: Sequence[Sequence[Line]]) -> list[WallEnd]:
    ends: list[WallEnd] = []
    for arc, walls in zip(topology.arcs, lines, strict=True):
        if arc.nodes is None or not walls:
            continue
        start, end = arc.nodes
        if len(walls) == 1:
            nodes = (start,) if start == end else (start, end)
            only = walls[0]
            ends.append(WallEnd(nodes, only.normal_xy, only.offset_px, only.length_px))
            continue
        for node, line in ((start, walls[0]), (end, walls[-1])):
            ends.append(WallEnd((node,), line.normal_xy, line.offset_px, line.length_px))
    return ends


def _closed_line(walls: Sequence[Line]) -> FloatArray:
    corners = [_meet(walls[n - 1], walls[n]) for n in range(len(walls))]
    return np.array([*corners, corners[0]])


def _open_line(
    chain: Chain, walls: Sequence[Line], start: FloatArray, end: FloatArray
) -> FloatArray:
    if not walls:
        return np.concatenate([start[None], chain.polyline()[1:-1], end[None]])
    through = list(walls)
    through[0] = _moved(through[0], start)
    through[-1] = _moved(through[-1], end)
    corners = [_meet(before, after) for before, after in zip(through, through[1:], strict=False)]
    return np.array([start, *corners, end])


def _moved(line: Line, point: FloatArray) -> Line:
    x, y = line.normal_xy
    offset = x * float(point[0]) + y * float(point[1])
    return Line(line.heading, line.normal_xy, offset, line.length_px)


def _meet(a: Line, b: Line) -> tuple[float, float]:
    """Intersection of two lines."""
    (ax, ay), (bx, by) = a.normal_xy, b.normal_xy
    det = ax * by - ay * bx
    return (
        (a.offset_px * by - b.offset_px * ay) / det,
        (ax * b.offset_px - bx * a.offset_px) / det,
    )
