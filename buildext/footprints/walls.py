"""Walls: the fewest straight runs that explain a boundary.

A boundary chain of cracks is divided into *walls*: consecutive stretches, each replaced by one
straight line. Which division is best is a shortest-path problem. The places where a wall may begin
or end are few (the vertices of a finely simplified chain); every pair of them and every direction
the building allows is a possible wall with a cost

    price of a wall + Σ (distance of the boundary from the line)² · length along the line

and a wall is possible only if no boundary point lies further from its line than the tolerance. The
cheapest sequence of walls from end to end, in which consecutive walls really turn, is found exactly
by dynamic programming (`cheapest`). Nothing is decided edge by edge: a rounded corner, a tooth of
noise or a slightly oblique stretch is absorbed where that is cheaper than another wall, and a real
step or wing survives because ignoring it would cost more.

A *free* wall takes the direction of its own best-fitting line. It costs more than one that follows
the building's frames, so that it appears only where a real oblique wall stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.footprints.boundary import Boundary, fit_offsets, scatter
from buildext.footprints.cheapest import Options, cheapest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A wall may span at most this many candidate corners: keeps the search linear in the chain.
_REACH = 48
# A free wall closer than this to an axis whose own wall keeps to the tolerance follows that axis.
_NEAR_AXIS = math.radians(15)
# Sine of the least turn beside a wall that is moved to an axis.
_CORNER_SINE = math.sin(math.radians(30))
# A wall must get ahead by at least this many pixels along its own direction.
_LEAST_ADVANCE_PX = 0.75
# Chains are searched together with others of about their size; these are the sizes' limits.
_SIZES = (6, 10, 16, 24, _REACH)


@dataclass(frozen=True, slots=True)
class Axis:
    """A direction that walls may follow.

    Attributes:
        frame: the number of the frame that it belongs to.
        turn: its angle within the frame, in radians.
        angle: its angle in the plane, in radians.
        price: what a wall in this direction costs, as a multiple of the price of a wall.
    """

    frame: int
    turn: float
    angle: float
    price: float


@dataclass(frozen=True, slots=True)
class Wall:
    """A stretch of a chain that becomes one straight line.

    Attributes:
        start: first crack of the stretch.
        stop: crack after the last.
        heading: direction of travel in the plane, in radians.
        axis: the axis that it follows, or None where it is free.
    """

    start: int
    stop: int
    heading: float
    axis: Axis | None


@dataclass(frozen=True, slots=True)
class Prices:
    """What the search for walls weighs against each other.

    Attributes:
        tolerance_px: the largest distance of a boundary point from its wall.
        wall: price of a wall that follows an axis, in px³.
        free: price of a free wall, in px³.
    """

    tolerance_px: float
    wall: float
    free: float


@dataclass(frozen=True, slots=True)
class Task:
    """A chain whose walls are wanted.

    Attributes:
        chain: its number in the boundary.
        corners: int64 `(K + 1,)`, ascending cracks where walls may begin and end, from 0 to the
            number of its cracks.
        axes: directions that walls may follow.
        closed: whether it is a ring.
    """

    chain: int
    corners: IntArray
    axes: tuple[Axis, ...]
    closed: bool


def candidate_corners(
    boundary: Boundary, ends_xy: FloatArray, closed: NDArray[np.bool_], tolerance_px: float
) -> list[IntArray]:
    """Where walls may begin or end in each chain: indices into its cracks, both ends included.

    The chains are simplified by Douglas and Peucker's rule through the middles of the cracks, which
    lie evenly to either side of the true wall where the corners of the grid do not.

    Args:
        boundary: the chains.
        ends_xy: float64 `(C, 2, 2)`, first and last point of each chain.
        closed: bool `(C,)`, which of them are rings.
        tolerance_px: of the simplification.
    """
    counts = np.diff(boundary.first)
    # Rings run from the middle of a crack back to itself; open chains from end to end.
    chain = np.repeat(np.arange(len(counts)), counts + 1)
    last = np.cumsum(counts + 1) - 1
    first = last - counts
    middle = np.ones(len(chain), dtype=bool)
    middle[last] = False
    line = np.empty((len(chain), 3))
    line[middle, :2] = boundary.middles_xy
    line[last, :2] = np.where(
        closed[:, None], boundary.middles_xy[boundary.first[:-1]], ends_xy[:, 1]
    )
    line[first[~closed], :2] = ends_xy[~closed, 0]
    # GEOS carries the third coordinate along: it tells which cracks were kept.
    line[:, 2] = np.arange(len(chain)) - first[chain]
    strings = shapely.linestrings(line, indices=chain)
    simple = shapely.simplify(strings, tolerance_px, preserve_topology=False)
    coordinates, owner = shapely.get_coordinates(simple, include_z=True, return_index=True)
    kept = coordinates[:, 2].astype(np.int64)
    corners = np.split(kept, np.flatnonzero(np.diff(owner)) + 1)
    for number in np.flatnonzero(closed).tolist():
        # A ring of a few pixels may fold up into a line: four corners keep it open.
        if len(corners[number]) < 4:
            corners[number] = np.unique(np.linspace(0, counts[number], 5).astype(np.int64))
    return corners


def start_at_corner(points_xy: FloatArray) -> FloatArray:
    """Turn a closed chain so that it starts at the point furthest from its centre: a corner."""
    ring = points_xy[:-1]
    away = ring - ring.mean(axis=0)
    first = int((away * away).sum(axis=1).argmax())
    return np.concatenate([ring[first:], ring[: first + 1]])


def find_walls(boundary: Boundary, tasks: Sequence[Task], prices: Prices) -> list[list[Wall]]:
    """The cheapest division of each chain into walls; empty where there is none."""
    found: list[list[Wall]] = [[] for _ in tasks]
    batches: dict[tuple[int, int], list[int]] = {}
    for number, task in enumerate(tasks):
        corners = len(task.corners) - 1
        size = next((size for size in _SIZES if corners <= size), _REACH)
        batches.setdefault((size, len(task.axes)), []).append(number)
    for (reach, _), numbers in batches.items():
        batch = [tasks[number] for number in numbers]
        options = _possible_walls(boundary, batch, reach, prices)
        last = np.array([len(task.corners) - 1 for task in batch])
        closed = np.array([task.closed for task in batch])
        ways = cheapest(options, last, closed)
        walls = _walls_of(options.taken(np.concatenate(ways)), batch)
        for number, task, a, b in zip(numbers, batch, *_stretches(ways), strict=True):
            found[number] = walls[a:b]
            _straighten(found[number], task, prices.tolerance_px)
    return found


def _walls_of(chosen: Options, tasks: Sequence[Task]) -> list[Wall]:
    """Options as walls, in cracks of their chains."""
    return [
        Wall(
            int(tasks[chain].corners[begin]),
            int(tasks[chain].corners[end]),
            heading,
            tasks[chain].axes[axis] if axis >= 0 else None,
        )
        for chain, begin, end, heading, axis in zip(
            chosen.chain.tolist(),
            chosen.begin.tolist(),
            chosen.end.tolist(),
            chosen.heading.tolist(),
            chosen.axis.tolist(),
            strict=True,
        )
    ]


def _stretches(parts: Sequence[IntArray]) -> tuple[list[int], list[int]]:
    """Where each part begins and stops when all are laid end to end."""
    stops = np.cumsum([len(part) for part in parts])
    return [0, *stops[:-1].tolist()], stops.tolist()


def _possible_walls(
    boundary: Boundary, tasks: Sequence[Task], reach: int, prices: Prices
) -> Options:
    """For each chain every wall that keeps to the tolerance, ordered by its first corner."""
    tolerance_px = prices.tolerance_px
    counts = np.array([len(task.corners) - 1 for task in tasks])
    task_of = np.repeat(np.arange(len(tasks)), counts)
    # Rows are corners that a wall may begin at; columns are how many corners further it ends.
    row_stop = np.cumsum(counts)
    row_start = row_stop - counts
    offset = np.array([boundary.first[task.chain] for task in tasks])
    begin_crack = np.concatenate([task.corners[:-1] for task in tasks]) + offset[task_of]
    end_crack = np.concatenate([task.corners[1:] for task in tasks]) + offset[task_of]
    row = np.arange(len(task_of))[:, None]
    stop = row + np.arange(reach)[None, :]
    inside = stop < row_stop[task_of][:, None]
    stop = np.minimum(stop, row_stop[task_of][:, None] - 1)

    angles = np.array([[axis.angle for axis in task.axes] for task in tasks])[task_of]  # (K, A)
    cos, sin = np.cos(angles), np.sin(angles)
    sums = boundary.running[end_crack][stop] - boundary.running[begin_crack][:, None]
    _, mean, error = fit_offsets(sums[:, :, None], cos[:, None], sin[:, None])  # (K, R, A)

    # The extremes between neighbouring corners, then over more and more of them.
    crack_row = np.repeat(row[:, 0], end_crack - begin_crack)
    cracks = np.arange(len(crack_row)) + np.repeat(
        begin_crack - np.cumsum(end_crack - begin_crack) + (end_crack - begin_crack),
        end_crack - begin_crack,
    )
    middles = boundary.middles_xy[cracks]
    across = middles[:, 1:] * cos[crack_row] - middles[:, :1] * sin[crack_row]
    first = np.cumsum(end_crack - begin_crack) - (end_crack - begin_crack)
    high = np.maximum.accumulate(np.maximum.reduceat(across, first, axis=0)[stop], axis=1)
    low = np.minimum.accumulate(np.minimum.reduceat(across, first, axis=0)[stop], axis=1)

    place = boundary.middles_xy[begin_crack]
    # A wall ends where the next begins; the last one at the last crack of its chain.
    after = np.minimum(end_crack, boundary.first[1:][[task.chain for task in tasks]][task_of] - 1)
    chord = boundary.middles_xy[after][stop] - place[:, None]
    advance = chord[..., :1] * cos[:, None] + chord[..., 1:] * sin[:, None]
    fits = (
        inside[..., None]
        & (high - mean <= tolerance_px)
        & (mean - low <= tolerance_px)
        & (np.abs(advance) >= _LEAST_ADVANCE_PX)
    )
    axis_price = np.array([[axis.price for axis in task.axes] for task in tasks])[task_of]
    cost = error + prices.wall * axis_price[:, None]
    free_cost, heading = _free_walls(sums, chord, prices)
    fits_any = fits.any(axis=2)
    nearest = np.abs(
        (heading[..., None] - angles[:, None] + math.pi / 2) % math.pi - math.pi / 2
    ).min(axis=2)
    length = np.hypot(chord[..., 0], chord[..., 1])
    free = (
        inside
        & ((length >= 2 * tolerance_px) | (stop == row))
        & (free_cost < np.where(fits, cost, np.inf).min(axis=2))
        & ~(fits_any & (nearest < _NEAR_AXIS))
    )

    row_index, column, axis = np.nonzero(fits)
    free_row, free_column = np.nonzero(free)
    rows = np.concatenate([row_index, free_row])
    owner = task_of[rows]
    headings = np.concatenate(
        [
            angles[row_index, axis] + np.where(advance[fits] > 0, 0.0, math.pi),
            heading[free],
        ]
    )
    # The last bits of a cosine depend on its place in an array; ties must not depend on them.
    costs = np.round(np.concatenate([cost[fits], free_cost[free]]), 6)
    ends = stop[rows, np.concatenate([column, free_column])] + 1 - row_start[owner]
    axes = np.concatenate([axis, np.full(len(free_row), -1)])
    order = np.lexsort((axes, ends, rows))
    return Options(owner, rows - row_start[owner], ends, headings, costs, axes).taken(order)


def _free_walls(
    sums: FloatArray, chord: FloatArray, prices: Prices
) -> tuple[FloatArray, FloatArray]:
    """Cost and heading of the best line through each stretch; infinite cost where it fits badly."""
    n, xx, xy, yy = scatter(sums)
    # The smaller eigenvalue of the scatter is the summed square of the distances from the line.
    thin = np.maximum((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy), 0) / n
    tilt = 0.5 * np.arctan2(2 * xy, xx - yy)
    ahead = np.cos(tilt) * chord[..., 0] + np.sin(tilt) * chord[..., 1]
    length = np.hypot(chord[..., 0], chord[..., 1])
    fits = (thin <= (prices.tolerance_px / 2.5) ** 2) & (length >= _LEAST_ADVANCE_PX)
    cost = np.where(fits, thin * length + prices.free, np.inf)
    return cost, tilt + np.where(ahead < 0, math.pi, 0.0)


def _straighten(walls: list[Wall], task: Task, tolerance_px: float) -> None:
    """Turn free walls to an axis where that is nearly so; in place."""
    for number, wall in enumerate(walls):
        if wall.axis is None:
            before = walls[number - 1] if number or task.closed else None
            onward = number + 1 < len(walls) or task.closed
            after = walls[(number + 1) % len(walls)] if onward else None
            walls[number] = _straightened(
                wall, task.axes, tolerance_px, [near for near in (before, after) if near]
            )


def _straightened(
    wall: Wall, axes: Sequence[Axis], tolerance_px: float, beside: Sequence[Wall]
) -> Wall:
    """A free wall on the nearest axis, if turning it moves no end by more than the tolerance.

    The walls beside it must still meet it at a corner.
    """
    for axis in axes:
        off = (wall.heading - axis.angle + math.pi / 2) % math.pi - math.pi / 2
        cos, sin = abs(math.cos(wall.heading)), abs(math.sin(wall.heading))
        half_length = (wall.stop - wall.start) / (cos + sin) / 2
        heading = wall.heading - off
        if (
            abs(off) < _NEAR_AXIS
            and half_length * math.sin(abs(off)) <= tolerance_px
            and all(abs(math.sin(heading - near.heading)) > _CORNER_SINE for near in beside)
        ):
            return Wall(wall.start, wall.stop, heading, axis)
    return wall
