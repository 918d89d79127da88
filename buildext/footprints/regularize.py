"""Regularisation: outlines made of straight walls in the building's own directions.

For buildings cut into arcs (`topology`):

1. each building gets its frames (`directions`); where two buildings touch and nearly agree, the
   smaller takes over the frame of the larger, so that a row of houses has one direction;
2. each arc is divided into walls along the axes of the buildings that it bounds (`walls`);
3. every frame is refitted to all walls that follow it, and every wall gets its line;
4. nodes move to where the walls that end there meet (`junctions`);
5. consecutive lines are intersected: these are the new corners (`lines`).

Nothing here judges the result; `shape` does, and asks again for the arcs that went wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from buildext.footprints.boundary import Boundary, fit_offsets, scatter
from buildext.footprints.circle import fit_circle, likely_circles
from buildext.footprints.directions import QUARTER, find_frames, fit_frames, signed
from buildext.footprints.junctions import insert_jogs, solve_junctions
from buildext.footprints.lines import Line, closed_line, open_line
from buildext.footprints.topology import Topology
from buildext.footprints.walls import (
    Axis,
    Prices,
    Task,
    Wall,
    candidate_corners,
    find_walls,
    start_at_corners,
)

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
_SAME_AXIS = math.radians(0.5)
# Corners are searched for on a chain simplified by this share of the tolerance.
_CORNER_SHARE = 1 / 3
_LEAST_CORNER_TOLERANCE_PX = 0.75
# An arc between two nodes that is shorter than this, in tolerances, has no direction of its own.
_LINK = 1.5


@dataclass(frozen=True, slots=True)
class Draft:
    """Buildings on their way to walls; all lists have one entry for each arc.

    Attributes:
        topology: the buildings.
        boundary: the cracks of the arcs, and maybe of others; rings start at a corner.
        ends_xy: float64 `(arcs, 2, 2)`, first and last point of each arc.
        tasks: where walls may begin, which axes they may follow, and the chain in the boundary.
        outline: the cracks that a simplified outline needs.
        walls: the walls found; none for an arc that cannot or shall not be regularised.
        circles: the rings `(N, 2)` of arcs that are round, by number of the arc.
    """

    topology: Topology
    boundary: Boundary
    ends_xy: FloatArray
    tasks: list[Task]
    outline: list[IntArray]
    walls: list[list[Wall]]
    circles: dict[int, FloatArray]

    def regular(self, arc: int) -> bool:
        """Whether an arc is made of walls or is a circle."""
        return bool(self.walls[arc]) or arc in self.circles

    def taken(self, buildings: NDArray[np.bool_]) -> Draft:
        """The draft of some buildings, none of which touches one left out."""
        topology, arcs = self.topology.taken(buildings)
        return Draft(
            topology,
            self.boundary,
            self.ends_xy[arcs],
            [self.tasks[arc] for arc in arcs],
            [self.outline[arc] for arc in arcs],
            [self.walls[arc] for arc in arcs],
            {n: self.circles[arc] for n, arc in enumerate(arcs) if arc in self.circles},
        )

    def without(self, arcs: set[int]) -> Draft:
        """The draft with some arcs left as they are."""
        return replace(
            self,
            walls=[[] if number in arcs else walls for number, walls in enumerate(self.walls)],
            circles={arc: ring for arc, ring in self.circles.items() if arc not in arcs},
        )

    def points(self, arc: int, cracks: IntArray) -> FloatArray:
        """Points of an arc `(K, 2)`: the middles of cracks, but the very ends of an open arc."""
        chain = self.tasks[arc].chain
        first, stop = self.boundary.first[chain], self.boundary.first[chain + 1]
        where = first + cracks
        if self.tasks[arc].closed:
            where = np.where(where == stop, first, where)
            ring: FloatArray = self.boundary.middles_xy[where]
            return ring
        points: FloatArray = self.boundary.middles_xy[np.minimum(where, stop - 1)]
        points[0], points[-1] = self.ends_xy[arc]
        return points

    def polyline(self, arc: int) -> FloatArray:
        """The simplified outline of an arc, `(K, 2)`."""
        return self.points(arc, self.outline[arc])

    def divided(self, arcs: Sequence[int], mode: RegularMode, tolerance_px: float) -> Draft:
        """The draft with new walls for some arcs, for a tolerance."""
        walls = list(self.walls)
        searched = []
        for arc in arcs:
            length = int(self.tasks[arc].corners[-1])
            if not self.tasks[arc].closed and length <= _LINK * tolerance_px:
                x, y = (self.ends_xy[arc, 1] - self.ends_xy[arc, 0]).tolist()
                walls[arc] = [Wall(0, length, math.atan2(y, x), None)]
            else:
                searched.append(arc)
        price = _WALL_PRICE * tolerance_px**3
        prices = Prices(tolerance_px, price, _FREE_PRICE[mode] * price)
        found = find_walls(self.boundary, [self.tasks[arc] for arc in searched], prices)
        for arc, new in zip(searched, found, strict=True):
            walls[arc] = new
        return replace(self, walls=walls)


def prepare(topology: Topology, mode: RegularMode, tolerance_px: float) -> Draft:
    """Divide every arc into walls (steps 1 and 2)."""
    closed = np.array([arc.closed for arc in topology.arcs])
    chains = [arc.points_xy for arc in topology.arcs]
    rings = np.flatnonzero(closed).tolist()
    for number, ring in zip(rings, start_at_corners([chains[n] for n in rings]), strict=True):
        chains[number] = ring
    ends_xy = np.array([(chain[0], chain[-1]) for chain in chains])
    boundary = Boundary.of(chains)
    fine_px = max(_LEAST_CORNER_TOLERANCE_PX, _CORNER_SHARE * tolerance_px)
    fine = candidate_corners(boundary, ends_xy, closed, fine_px)
    coarse = candidate_corners(boundary, ends_xy, closed, tolerance_px)
    tasks = [
        Task(number, corners, (), arc.closed)
        for number, (arc, corners) in enumerate(zip(topology.arcs, fine, strict=True))
    ]
    draft = Draft(topology, boundary, ends_xy, tasks, coarse, [[] for _ in tasks], {})
    cuts = coarse
    for _ in range(_PASSES):
        axes = _axes(topology, [draft.points(n, cut) for n, cut in enumerate(cuts)], mode)
        changed = [
            number
            for number, (task, new) in enumerate(zip(draft.tasks, axes, strict=True))
            if _differ(task.axes, new)
        ]
        tasks = list(draft.tasks)
        for number in changed:
            tasks[number] = replace(tasks[number], axes=axes[number])
        draft = replace(draft, tasks=tasks).divided(changed, mode, tolerance_px)
        # The walls found tell the directions better than the outline did.
        cuts = [
            np.array([wall.start for wall in walls] + [walls[-1].stop]) if walls else cut
            for walls, cut in zip(draft.walls, cuts, strict=True)
        ]
    return replace(draft, circles=_circles(draft, tolerance_px))


def _circles(draft: Draft, tolerance_px: float) -> dict[int, FloatArray]:
    """The rings of the arcs that are the round outline of one building."""
    exteriors = {rings[0][0][0] for rings in draft.topology.rings}
    circles: dict[int, FloatArray] = {}
    for number in np.flatnonzero(likely_circles(draft.boundary)).tolist():
        arc = draft.topology.arcs[number]
        if arc.closed and len(arc.owners) == 1 and number in exteriors:
            first, stop = draft.boundary.first[number : number + 2]
            ring = fit_circle(draft.boundary.middles_xy[first:stop], tolerance_px)
            if ring is not None:
                circles[number] = ring
    return circles


def _differ(old: Sequence[Axis], new: Sequence[Axis]) -> bool:
    """Whether walls have to be searched anew."""
    if len(old) != len(new):
        return True
    return any(
        a.frame != b.frame
        or abs((a.angle - b.angle + QUARTER) % (2 * QUARTER) - QUARTER) > _SAME_AXIS
        for a, b in zip(old, new, strict=True)
    )


def _axes(
    topology: Topology, polylines: Sequence[FloatArray], mode: RegularMode
) -> list[tuple[Axis, ...]]:
    """The axes that the walls of each arc may follow."""
    buildings = len(topology.rings)
    counts = [len(polyline) - 1 for polyline in polylines]
    steps = np.diff(np.concatenate(polylines), axis=0)
    inside = np.ones(len(steps), dtype=bool)
    inside[np.cumsum(np.array(counts) + 1)[:-1] - 1] = False
    edges = steps[inside]
    arc_of = np.repeat(np.arange(len(counts)), counts)
    shared = np.array([len(arc.owners) == 2 for arc in topology.arcs])
    first_owner = np.array([arc.owners[0] for arc in topology.arcs])
    last_owner = np.array([arc.owners[-1] for arc in topology.arcs])
    again = shared[arc_of]
    owner = np.concatenate([first_owner[arc_of], last_owner[arc_of[again]]])
    edges = np.concatenate([edges, edges[again]])
    lengths = np.bincount(owner, np.hypot(edges[:, 0], edges[:, 1]), buildings)
    own = find_frames(edges, owner, buildings, most=_FRAMES[mode])

    neighbours: dict[int, set[int]] = {}
    for number in np.flatnonzero(shared).tolist():
        a, b = topology.arcs[number].owners
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    # A frame is numbered by the building that it was found for, so that the number lasts.
    angles: dict[int, float] = {}
    frames: list[list[int]] = [[] for _ in range(buildings)]
    for building in np.argsort(-lengths, kind="stable").tolist():
        for rank, angle in enumerate(own[building]):
            near = [
                (abs(signed(angles[frame] - angle)), frame)
                for other in neighbours.get(building, ())
                for frame in frames[other]
            ]
            closest = min(near, default=(math.inf, -1))
            if closest[0] < _SAME_FRAME:
                frames[building].append(closest[1])
            else:
                number = building * _FRAMES[mode] + rank
                frames[building].append(number)
                angles[number] = angle

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


def draw(draft: Draft, tolerance_px: float) -> list[FloatArray]:
    """The regular line of every arc (steps 3 to 5); an arc without walls is simplified.

    Args:
        draft: the buildings.
        tolerance_px: how much of either end of a wall may be a rounded corner.
    """
    topology = draft.topology
    lines = fit_lines(draft, tolerance_px)
    nodes_xy = topology.nodes_xy
    if len(nodes_xy):
        insert_jogs(topology, lines, tolerance_px)
        nodes_xy = solve_junctions(topology, lines)
    drawn: list[FloatArray] = []
    for number, (arc, walls) in enumerate(zip(topology.arcs, lines, strict=True)):
        if number in draft.circles:
            drawn.append(draft.circles[number])
        elif arc.nodes is None:
            drawn.append(closed_line(walls) if walls else draft.polyline(number))
        else:
            start, end = nodes_xy[arc.nodes[0]], nodes_xy[arc.nodes[1]]
            if walls:
                drawn.append(open_line(walls, start, end))
            else:
                inner = draft.polyline(number)[1:-1]
                drawn.append(np.concatenate([start[None], inner, end[None]]))
    return drawn


def fit_lines(draft: Draft, tolerance_px: float) -> list[list[Line]]:
    """A line for every wall of every arc, after the frames have been fitted to their walls."""
    walls = [wall for arc in draft.walls for wall in arc]
    if not walls:
        return [[] for _ in draft.walls]
    counts = [len(arc) for arc in draft.walls]
    first = draft.boundary.first[[task.chain for task in draft.tasks]]
    base = np.repeat(first, counts)
    start = np.array([wall.start for wall in walls])
    stop = np.array([wall.stop for wall in walls])
    heading = np.array([wall.heading for wall in walls])
    frame = np.array([-1 if wall.axis is None else wall.axis.frame for wall in walls])
    turn = np.array([0.0 if wall.axis is None else wall.axis.turn for wall in walls])

    # The corners of a mask are rounded: the ends of a wall say little about its line.
    trim = np.minimum(tolerance_px, (stop - start) / 5).astype(np.int64)
    sums = draft.boundary.sums(base + start + trim, base + stop - trim)
    bound = frame >= 0
    if bound.any():
        _, xx, xy, yy = scatter(sums[bound])
        angle = fit_frames(frame[bound], turn[bound], xx, xy, yy)[frame[bound]] + turn[bound]
        # A frame is known up to a quarter turn: take the direction nearest to the heading.
        heading[bound] = angle + QUARTER * np.round((heading[bound] - angle) / QUARTER)
    cos, sin = np.cos(heading), np.sin(heading)
    length, offset, _ = fit_offsets(sums, cos, sin)
    begin = draft.boundary.middles_xy[base + start]
    fitted = [
        Line(*values)
        for values in zip(
            cos.tolist(),
            sin.tolist(),
            offset.tolist(),
            length.tolist(),
            begin[:, 0].tolist(),
            begin[:, 1].tolist(),
            (~bound).tolist(),
            strict=True,
        )
    ]
    cuts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    return [fitted[a:b] for a, b in pairwise(cuts)]
