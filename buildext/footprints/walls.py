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
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.footprints.boundary import Boundary, fit_offsets, scatter
from buildext.footprints.cheapest import Options, cheapest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A wall may span at most the last of these numbers of candidate corners, which keeps the search
# linear in the chain. From one number to the next it goes on where a wall can still be straight.
_COLUMNS = (0, 3, 6, 10, 16, 24, 34, 48)
# A free wall closer than this to an axis whose own wall keeps to the tolerance follows that axis.
_NEAR_AXIS = math.radians(15)
# What subtractions may add to a width.
_ROUNDING_PX = 1e-6
# Sine of the least turn beside a wall that is moved to an axis.
_CORNER_SINE = math.sin(math.radians(30))
# A wall must get ahead by at least this many pixels along its own direction.
_LEAST_ADVANCE_PX = 0.75
# And one along a diagonal by this many tolerances: less is a corner that the pixels cut off.
_LEAST_DIAGONAL = 2.0


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


def start_at_corners(rings_xy: Sequence[FloatArray]) -> list[FloatArray]:
    """Turn closed chains so that each starts at the point furthest from its centre: a corner."""
    if not rings_xy:
        return []
    points = np.concatenate([ring[:-1] for ring in rings_xy])
    counts = np.array([len(ring) - 1 for ring in rings_xy])
    first = np.cumsum(counts) - counts
    ring_of = np.repeat(np.arange(len(counts)), counts)
    away = points - (np.add.reduceat(points, first) / counts[:, None])[ring_of]
    square = (away * away).sum(axis=1)
    furthest = np.flatnonzero(square == np.maximum.reduceat(square, first)[ring_of])
    _, rank = np.unique(ring_of[furthest], return_index=True)
    corners = (furthest[rank] - first).tolist()
    return [
        np.concatenate([ring[corner:-1], ring[: corner + 1]])
        for ring, corner in zip(rings_xy, corners, strict=True)
    ]


def find_walls(boundary: Boundary, tasks: Sequence[Task], prices: Prices) -> list[list[Wall]]:
    """The cheapest division of each chain into walls; empty where there is none."""
    found: list[list[Wall]] = [[] for _ in tasks]
    batches: dict[int, list[int]] = {}
    for number, task in enumerate(tasks):
        batches.setdefault(len(task.axes), []).append(number)
    for numbers in batches.values():
        batch = [tasks[number] for number in numbers]
        options = _possible_walls(boundary, batch, prices)
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


@dataclass(frozen=True, slots=True)
class _Rows:
    """The places where a wall may begin: all corners of some chains but the last of each.

    Attributes:
        chain: int64 `(K,)`, the task that each belongs to.
        begin: int64 `(K,)`, its crack.
        end: int64 `(K,)`, the crack at the next corner.
        stop: int64 `(K,)`, the row after the last of its task.
        angles: float64 `(K, A)`, the axes of its task, in radians.
        cos: float64 `(K, A)`, their cosines.
        sin: float64 `(K, A)`, their sines.
        price: float64 `(K, A)`, what a wall along them costs, in px³.
        high: float64 `(K, A)`, furthest offset across each axis on the way to the next corner.
        low: float64 `(K, A)`, the least.
        begin_xy: float64 `(K, 2)`, middle of the crack where a wall from here begins.
        end_xy: float64 `(K, 2)`, the same where one ends that goes as far as the next corner.
    """

    chain: IntArray
    begin: IntArray
    end: IntArray
    stop: IntArray
    angles: FloatArray
    cos: FloatArray
    sin: FloatArray
    price: FloatArray
    high: FloatArray
    low: FloatArray
    begin_xy: FloatArray
    end_xy: FloatArray

    @classmethod
    def of(cls, boundary: Boundary, tasks: Sequence[Task], prices: Prices) -> _Rows:
        """The rows of all tasks, one after the other."""
        counts = np.array([len(task.corners) - 1 for task in tasks])
        chain = np.repeat(np.arange(len(tasks)), counts)
        where = np.array([task.chain for task in tasks])
        offset = boundary.first[where][chain]
        begin = np.concatenate([task.corners[:-1] for task in tasks]) + offset
        end = np.concatenate([task.corners[1:] for task in tasks]) + offset
        angles = np.array([[axis.angle for axis in task.axes] for task in tasks])[chain]
        price = np.array([[axis.price for axis in task.axes] for task in tasks])[chain]
        cos, sin = np.cos(angles), np.sin(angles)
        lengths = end - begin
        first = np.cumsum(lengths) - lengths
        crack = np.arange(lengths.sum()) + np.repeat(begin - first, lengths)
        middles = boundary.middles_xy[crack]
        across = middles[:, 1:] * np.repeat(cos, lengths, axis=0)
        across -= middles[:, :1] * np.repeat(sin, lengths, axis=0)
        # A wall ends where the next begins; the last one at the last crack of its chain.
        after = np.minimum(end, boundary.first[1:][where][chain] - 1)
        return cls(
            chain,
            begin,
            end,
            np.cumsum(counts)[chain],
            angles,
            cos,
            sin,
            prices.wall * price,
            np.maximum.reduceat(across, first, axis=0),
            np.minimum.reduceat(across, first, axis=0),
            boundary.middles_xy[begin],
            boundary.middles_xy[after],
        )


def _possible_walls(boundary: Boundary, tasks: Sequence[Task], prices: Prices) -> Options:
    """For each chain every wall that keeps to the tolerance, ordered by its first corner.

    Walls are looked for some corners further at a time: where the boundary has become too wide for
    any direction, no longer wall begins.
    """
    rows = _Rows.of(boundary, tasks, prices)
    alive = np.arange(len(rows.chain))
    high, low = np.full(rows.high.shape, -np.inf), np.full(rows.low.shape, np.inf)
    found = []
    for columns in pairwise(_COLUMNS):
        ends = alive[:, None] + np.arange(*columns)
        inside = ends < rows.stop[alive][:, None]
        ends = np.minimum(ends, rows.stop[alive][:, None] - 1)
        highs = np.maximum(np.maximum.accumulate(rows.high[ends], axis=1), high[:, None])
        lows = np.minimum(np.minimum.accumulate(rows.low[ends], axis=1), low[:, None])
        row = np.broadcast_to(alive[:, None], ends.shape)[inside]
        found.append(
            _fitting(boundary, rows, row, ends[inside], highs[inside], lows[inside], prices)
        )
        high, low = highs[:, -1], lows[:, -1]
        narrow = (high - low <= 2 * prices.tolerance_px).any(axis=1)
        sums = boundary.sums(rows.begin[alive], rows.end[ends[:, -1]])
        goes_on = inside[:, -1] & (narrow | (_thickness(sums)[0] <= prices.tolerance_px**2))
        alive, high, low = alive[goes_on], high[goes_on], low[goes_on]
    begin, end, heading, cost, axis = (
        np.concatenate(values) for values in zip(*found, strict=True)
    )
    order = np.lexsort((axis, end, begin))
    chain = rows.chain[begin]
    start = np.searchsorted(rows.chain, chain)
    return Options(chain, begin - start, end + 1 - start, heading, cost, axis).taken(order)


def _fitting(
    boundary: Boundary,
    rows: _Rows,
    begin: IntArray,
    end: IntArray,
    high: FloatArray,
    low: FloatArray,
    prices: Prices,
) -> tuple[IntArray, IntArray, FloatArray, FloatArray, IntArray]:
    """Which walls are possible between the given corners.

    Args:
        boundary: the chains.
        rows: where walls may begin.
        begin: int64 `(N,)`, the row where a wall begins.
        end: int64 `(N,)`, the last row that it passes.
        high: float64 `(N, A)`, furthest offset of the boundary between, across each axis.
        low: float64 `(N, A)`, the least.
        prices: what walls cost.

    Returns:
        First and last row, heading, cost and axis of each wall; -1 is the axis of a free one.
    """
    tolerance_px = prices.tolerance_px
    chord = rows.end_xy[end] - rows.begin_xy[begin]
    # No line along an axis can keep to the tolerance where the boundary is twice as wide.
    pair, axis = np.nonzero(high - low <= 2 * tolerance_px + _ROUNDING_PX)
    row = begin[pair]
    cos, sin, price = rows.cos[row, axis], rows.sin[row, axis], rows.price[row, axis]
    sums = boundary.sums(rows.begin[row], rows.end[end[pair]])
    _, mean, error = fit_offsets(sums, cos, sin)
    advance = chord[pair, 0] * cos + chord[pair, 1] * sin
    least = np.where(price > prices.wall, _LEAST_DIAGONAL * tolerance_px, _LEAST_ADVANCE_PX)
    fits = (
        (high[pair, axis] - mean <= tolerance_px)
        & (mean - low[pair, axis] <= tolerance_px)
        & (np.abs(advance) >= least)
    )
    pair, axis, advance, cost = pair[fits], axis[fits], advance[fits], (error + price)[fits]

    # A free wall must be cheaper than one along an axis; its own price is the least it costs.
    best = np.full(len(begin), np.inf)
    np.minimum.at(best, pair, cost)
    length = np.hypot(chord[:, 0], chord[:, 1])
    free = np.flatnonzero(
        (best > prices.free)
        & (length >= _LEAST_ADVANCE_PX)
        & ((length >= 2 * tolerance_px) | (end == begin))
    )
    sums = boundary.sums(rows.begin[begin[free]], rows.end[end[free]])
    thickness, tilt = _thickness(sums)
    free_cost = thickness * length[free] + prices.free
    good = (thickness <= (tolerance_px / 2.5) ** 2) & (free_cost < best[free])
    free, free_cost, tilt = free[good], free_cost[good], tilt[good]
    ahead = np.cos(tilt) * chord[free, 0] + np.sin(tilt) * chord[free, 1]
    tilt = tilt + np.where(ahead < 0, math.pi, 0.0)
    angles = rows.angles[begin[free]]
    off = np.abs((tilt[:, None] - angles + math.pi / 2) % math.pi - math.pi / 2).min(axis=1)
    good = ~(np.isfinite(best[free]) & (off < _NEAR_AXIS))
    free, free_cost, tilt = free[good], free_cost[good], tilt[good]

    every = np.concatenate([pair, free])
    onward = rows.angles[begin[pair], axis] + np.where(advance > 0, 0.0, math.pi)
    # The last bits of a cosine depend on its place in an array; ties must not depend on them.
    costs = np.round(np.concatenate([cost, free_cost]), 6)
    axes = np.concatenate([axis, np.full(len(free), -1)])
    return begin[every], end[every], np.concatenate([onward, tilt]), costs, axes


def _thickness(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean square distance from the best line through each stretch, and the angle of that line."""
    n, xx, xy, yy = scatter(sums)
    # The smaller eigenvalue of the scatter is the summed square of the distances from the line.
    square = np.maximum((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy), 0)
    return square / n, 0.5 * np.arctan2(2 * xy, xx - yy)


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
