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
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.directions import QUARTER, find_frames, fit_frame, signed
from buildext.footprints.junctions import WallEnd, solve_junctions
from buildext.footprints.topology import Topology
from buildext.footprints.walls import Axis, Wall, candidate_corners, find_walls, start_at_corner

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RegularMode = Literal["right-angles", "right-angles-and-diagonals", "any-angle"]

# Price of a wall, in tolerance³: what a step of half the tolerance along six tolerances costs.
_WALL_PRICE = 0.75
_DIAGONAL_PRICE = 1.5
_FREE_PRICE = {"right-angles": 3.0, "right-angles-and-diagonals": 3.0, "any-angle": 1.5}
_FRAMES = {"right-angles": 1, "right-angles-and-diagonals": 1, "any-angle": 3}
# Touching buildings whose frames differ by less share one.
_SAME_FRAME = math.radians(5)
# Rounds of finding frames and walls; the second starts from the walls of the first.
_PASSES = 2
# Axes that moved by less need no new search for walls.
_SAME_AXIS = math.radians(1.5)
# An arc between two nodes that is shorter than this, in tolerances, has no direction of its own.
_LINK = 1.5
# Facades apart by more than this, in tolerances, are not drawn in one line.
_JOG = 0.6
# Sine of the least angle between a party wall and a facade.
_FACADE = math.sin(math.radians(50))
# Cosine between the headings of walls that nearly double back.
_ACUTE = math.cos(math.radians(140))
# Corners are searched for on a chain simplified by this share of the tolerance.
_CORNER_SHARE = 1 / 3
_LEAST_CORNER_TOLERANCE_PX = 0.75


@dataclass(frozen=True, slots=True)
class Chain:
    """An arc on its way to walls.

    Attributes:
        points_xy: float64 `(N + 1, 2)`, the corners of the grid along it.
        closed: whether it is a whole ring.
        corners: where walls may begin and end, indices into its cracks.
        outline: the same, but only as many as a simplified outline needs.
        axes: the directions that its walls may follow.
        walls: the walls; none where it is not to be regularised.
    """

    points_xy: FloatArray
    closed: bool
    corners: IntArray
    outline: IntArray
    axes: tuple[Axis, ...] = ()
    walls: tuple[Wall, ...] = ()

    def at(self, cracks: IntArray) -> FloatArray:
        """Points of the boundary `(K, 2)`: the middles of cracks, but the very ends of an arc."""
        after = np.minimum(cracks + 1, len(self.points_xy) - 1)
        if self.closed:
            after[cracks == len(self.points_xy) - 1] = 1
        points = (self.points_xy[cracks] + self.points_xy[after]) / 2
        if not self.closed:
            points[0] = self.points_xy[0]
        return points

    def polyline(self) -> FloatArray:
        """The simplified outline, `(K, 2)`."""
        return self.at(self.outline)

    def divided(self, mode: RegularMode, tolerance_px: float) -> Chain:
        """The chain with the best division into walls for a tolerance."""
        if not self.closed and len(self.points_xy) <= _LINK * tolerance_px:
            x, y = (self.points_xy[-1] - self.points_xy[0]).tolist()
            link = Wall(0, len(self.points_xy) - 1, math.atan2(y, x), None)
            return replace(self, walls=(link,))
        walls = find_walls(
            self.points_xy,
            self.corners,
            self.axes,
            closed=self.closed,
            tolerance_px=tolerance_px,
            price=_WALL_PRICE * tolerance_px**3,
            free_price=_FREE_PRICE[mode],
        )
        return replace(self, walls=tuple(walls))


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line in the plane: `normal · point = offset`.

    Attributes:
        heading: direction of travel, in radians.
        normal_xy: unit normal.
        offset_px: distance of the line from the origin, along the normal.
        length_px: length of boundary that it stands for.
        start_xy: where on the boundary its wall begins.
        free: whether it follows no axis.
    """

    heading: float
    normal_xy: tuple[float, float]
    offset_px: float
    length_px: float
    start_xy: tuple[float, float]
    free: bool

    def foot(self, point: tuple[float, float]) -> tuple[float, float]:
        """The point of the line nearest to `point`."""
        x, y = self.normal_xy
        away = self.offset_px - x * point[0] - y * point[1]
        return point[0] + away * x, point[1] + away * y


def prepare(topology: Topology, mode: RegularMode, tolerance_px: float) -> list[Chain]:
    """Divide every arc of a group into walls (steps 1 and 2)."""
    points = [
        start_at_corner(arc.points_xy) if arc.closed else arc.points_xy for arc in topology.arcs
    ]
    closed = [arc.closed for arc in topology.arcs]
    fine_px = max(_LEAST_CORNER_TOLERANCE_PX, _CORNER_SHARE * tolerance_px)
    fine = candidate_corners(points, closed, fine_px)
    coarse = candidate_corners(points, closed, tolerance_px)
    chains = [Chain(*parts) for parts in zip(points, closed, fine, coarse, strict=True)]
    edges = [np.diff(chain.polyline(), axis=0) for chain in chains]
    for _ in range(_PASSES):
        axes = _axes(topology, edges, mode)
        chains = [
            replace(chain, axes=new).divided(mode, tolerance_px)
            if _differ(chain.axes, new)
            else chain
            for chain, new in zip(chains, axes, strict=True)
        ]
        # The walls found tell the directions better than the outline did.
        edges = [_chords(chain) if chain.walls else old for chain, old in zip(chains, edges, strict=True)]
    return chains


def _differ(old: Sequence[Axis], new: Sequence[Axis]) -> bool:
    if len(old) != len(new):
        return True
    return any(
        abs(float(_turned(a.angle - b.angle))) > _SAME_AXIS for a, b in zip(old, new, strict=True)
    )


def _turned(difference: float) -> float:
    """An angle between undirected lines, in [-π/2, π/2)."""
    return (difference + QUARTER) % (2 * QUARTER) - QUARTER


def _chords(chain: Chain) -> FloatArray:
    ends = np.array([wall.start for wall in chain.walls] + [chain.walls[-1].stop])
    chords: FloatArray = np.diff(chain.at(ends), axis=0)
    return chords


def _axes(
    topology: Topology, arc_edges: Sequence[FloatArray], mode: RegularMode
) -> list[tuple[Axis, ...]]:
    """The axes that the walls of each arc may follow."""
    buildings = len(topology.rings)
    edges: list[list[FloatArray]] = [[] for _ in range(buildings)]
    neighbours: list[set[int]] = [set() for _ in range(buildings)]
    for arc, vectors in zip(topology.arcs, arc_edges, strict=True):
        for owner in arc.owners:
            edges[owner].append(vectors)
            neighbours[owner].update(other for other in arc.owners if other != owner)
    joined = [np.concatenate(parts) for parts in edges]
    lengths = np.array([np.hypot(part[:, 0], part[:, 1]).sum() for part in joined])

    angles: list[float] = []
    frames: list[list[int]] = [[] for _ in range(buildings)]
    for building in np.argsort(-lengths, kind="stable").tolist():
        for angle in find_frames(joined[building], most=_FRAMES[mode]):
            near = [
                (abs(signed(angles[frame] - angle)), frame)
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
    result: list[tuple[Axis, ...]] = []
    for arc in topology.arcs:
        owners = sorted(arc.owners, key=lambda owner: -lengths[owner])
        here = dict.fromkeys(frame for owner in owners for frame in frames[owner])
        result.append(
            tuple(
                Axis(frame, turn, angles[frame] + turn, price)
                for frame in here
                for turn, price in turns
            )
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
        _insert_jogs(topology, lines, tolerance_px)
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
    # Cracks that all stand across the wall have no length along it; then each counts the same.
    if not weight.any():
        weight = np.ones(len(across))
    total = float(weight.sum())
    start_x, start_y = middles[wall.start].tolist()
    return Line(
        heading,
        (-y, x),
        float(weight @ across) / total,
        total,
        (start_x, start_y),
        wall.axis is None,
    )


def _insert_jogs(topology: Topology, lines: list[list[Line]], tolerance_px: float) -> None:
    """Give a step to facades that run on across a party wall but not in one line.

    Where a party wall meets two facades, all three pass through the node, so that the facades come
    to lie in one line. If their lines are further apart than that is worth, the facade that stands
    further out gets a short wall of its own, in line with the party wall, down to the node.
    """
    meeting: list[list[tuple[int, bool]]] = [[] for _ in topology.nodes_xy]
    for number, arc in enumerate(topology.arcs):
        if arc.nodes is not None and lines[number]:
            meeting[arc.nodes[0]].append((number, False))
            meeting[arc.nodes[1]].append((number, True))
    for node, ends in enumerate(meeting):
        if len(ends) != 3:
            continue
        point = topology.nodes_xy[node]
        three = [(number, last, lines[number][-1 if last else 0]) for number, last in ends]
        for turn in range(3):
            _, last, party = three[turn]
            facades = [three[turn - 1], three[turn - 2]]
            # Direction in which the party wall leaves the node.
            sign = -1.0 if last else 1.0
            along_x, along_y = sign * math.cos(party.heading), sign * math.sin(party.heading)
            slopes = [line.normal_xy[0] * along_x + line.normal_xy[1] * along_y for *_, line in facades]
            if min(abs(slope) for slope in slopes) < _FACADE:
                continue
            reach = [
                (line.offset_px - float(np.dot(line.normal_xy, point))) / slope
                for (*_, line), slope in zip(facades, slopes, strict=True)
            ]
            if abs(reach[0] - reach[1]) <= _JOG * tolerance_px:
                continue
            number, last, facade = facades[int(reach[0] > reach[1])]
            jog = replace(party, length_px=0.0, start_xy=facade.start_xy, free=False)
            lines[number].insert(len(lines[number]) if last else 0, jog)
            break


def _wall_ends(topology: Topology, lines: Sequence[Sequence[Line]]) -> list[WallEnd]:
    ends: list[WallEnd] = []
    for arc, walls in zip(topology.arcs, lines, strict=True):
        if arc.nodes is None or not walls:
            continue
        start, end = arc.nodes
        if len(walls) == 1:
            nodes = (start,) if start == end else (start, end)
            only = walls[0]
            ends.append(
                WallEnd(nodes, only.normal_xy, only.offset_px, only.length_px, rigid=not only.free)
            )
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
    corners = [_meet(before, after) for before, after in pairwise(through)]
    return np.array([start, *corners, end])


def _moved(line: Line, point: FloatArray) -> Line:
    x, y = line.normal_xy
    offset = x * float(point[0]) + y * float(point[1])
    return replace(line, offset_px=offset)


def _meet(a: Line, b: Line) -> tuple[float, float]:
    """The corner between two consecutive lines."""
    (ax, ay), (bx, by) = a.normal_xy, b.normal_xy
    if ax * bx + ay * by < _ACUTE:
        # The intersection of walls that nearly double back may lie far outside: the tip of the
        # boundary itself is used, on the line that follows an axis if one does.
        from_a, from_b = a.foot(b.start_xy), b.foot(b.start_xy)
        if not (a.free and b.free):
            return from_b if a.free else from_a
        return (from_a[0] + from_b[0]) / 2, (from_a[1] + from_b[1]) / 2
    det = ax * by - ay * bx
    return (
        (a.offset_px * by - b.offset_px * ay) / det,
        (ax * b.offset_px - bx * a.offset_px) / det,
    )
