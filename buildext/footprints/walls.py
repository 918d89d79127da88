"""Walls: the fewest straight runs that explain a boundary.

A boundary chain of cracks is divided into *walls*: consecutive stretches, each replaced by one
straight line. Which division is best is a shortest-path problem. The places where a wall may begin
or end are few (the vertices of a finely simplified chain); every pair of them and every direction
the building allows is a possible wall with a cost

    price of a wall + Σ (distance of the boundary from the line)² · length along the line

and a wall is possible only if no boundary point lies further from its line than the tolerance. The
cheapest sequence of walls from end to end, in which consecutive walls really turn, is found exactly
by dynamic programming. Nothing is decided edge by edge: a rounded corner, a tooth of noise or a
slightly oblique stretch is absorbed where that is cheaper than another wall, and a real step or
wing survives because ignoring it would cost more.

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

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A wall may span at most this many candidate corners: keeps the search linear in the chain.
_REACH = 48
# Two consecutive walls must turn by at least this much, or where they meet is ill defined, and may
# not quite double back.
_LEAST_TURN = math.radians(12)
_MOST_TURN = math.radians(176)
# A free wall closer than this to an axis whose own wall keeps to the tolerance follows that axis.
_NEAR_AXIS = math.radians(15)
# A wall must get ahead by at least this many pixels along its own direction.
_LEAST_ADVANCE_PX = 0.75


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
        stop: crack after the last; a closed chain may wrap, then `stop` exceeds its length.
        heading: direction of travel in the plane, in radians.
        axis: the axis that it follows, or None where it is free.
    """

    start: int
    stop: int
    heading: float
    axis: Axis | None


def candidate_corners(
    chains_xy: Sequence[FloatArray], closed: Sequence[bool], tolerance_px: float
) -> list[IntArray]:
    """Where walls may begin or end in each chain: indices into its cracks, both ends included.

    The chains are simplified by Douglas and Peucker's rule through the middles of the cracks, which
    lie evenly to either side of the true wall where the corners of the grid do not.
    """
    lines, lengths = [], []
    for points, ring in zip(chains_xy, closed, strict=True):
        middles = (points[:-1] + points[1:]) / 2
        count = len(middles)
        line = np.empty((count + (1 if ring else 2), 3))
        if ring:
            line[:-1, :2] = middles
            line[-1, :2] = middles[0]
            line[:, 2] = np.arange(count + 1)
        else:
            line[1:-1, :2] = middles
            line[0, :2], line[-1, :2] = points[0], points[-1]
            line[0, 2], line[1:-1, 2], line[-1, 2] = 0, np.arange(count), count
        lines.append(line)
        lengths.append(len(line))
    strings = shapely.linestrings(
        np.concatenate(lines), indices=np.repeat(np.arange(len(lines)), lengths)
    )
    # GEOS carries the third coordinate along: it tells which cracks were kept.
    simple = shapely.simplify(strings, tolerance_px, preserve_topology=False)
    coordinates, owner = shapely.get_coordinates(simple, include_z=True, return_index=True)
    kept = coordinates[:, 2].astype(np.int64)
    return [np.unique(part) for part in np.split(kept, np.flatnonzero(np.diff(owner)) + 1)]


def start_at_corner(points_xy: FloatArray) -> FloatArray:
    """Turn a closed chain so that it starts at the point furthest from its centre: a corner."""
    ring = points_xy[:-1]
    away = ring - ring.mean(axis=0)
    first = int((away**2).sum(axis=1).argmax())
    return np.concatenate([ring[first:], ring[: first + 1]])


def find_walls(
    points_xy: FloatArray,
    corners: IntArray,
    axes: Sequence[Axis],
    *,
    closed: bool,
    tolerance_px: float,
    price: float,
    free_price: float,
) -> list[Wall]:
    """The cheapest division of a chain into walls; empty where there is none.

    Args:
        points_xy: float64 `(N + 1, 2)`, corners of the grid along the chain.
        corners: int64 `(K,)`, ascending, from 0 to N: where walls may begin and end.
        axes: directions that walls may follow.
        closed: whether the chain is a ring.
        tolerance_px: the largest distance of a boundary point from its wall.
        price: cost of a wall, in px³.
        free_price: price of a free wall, as a multiple of `price`.
    """
    options = _possible_walls(points_xy, corners, axes, tolerance_px, price, free_price * price)
    return _cheapest(options, len(corners) - 1, corners, axes, closed=closed)


_Option = tuple[int, int, float, float, int]  # from corner, to corner, heading, cost, axis or -1


def _possible_walls(
    points_xy: FloatArray,
    corners: IntArray,
    axes: Sequence[Axis],
    tolerance_px: float,
    price: float,
    free_cost: float,
) -> list[_Option]:
    """Every wall between two corners that keeps to the tolerance, ordered by its first corner."""
    count = len(corners) - 1
    reach = min(count, _REACH)
    middles = (points_xy[:-1] + points_xy[1:]) / 2
    middles = middles - points_xy[0]
    steps = np.abs(np.diff(points_xy, axis=0))
    angles = np.array([axis.angle for axis in axes])
    cos, sin = np.cos(angles), np.sin(angles)

    # Sums over the cracks between neighbouring corners; differences of their running sums give the
    # sums over any stretch.
    across = middles[:, :1] * -sin + middles[:, 1:] * cos  # (N, A)
    weight = steps[:, :1] * np.abs(cos) + steps[:, 1:] * np.abs(sin)
    first = corners[:-1]
    terms = np.concatenate(
        [
            weight,
            weight * across,
            weight * across**2,
            middles,
            middles**2,
            middles[:, :1] * middles[:, 1:],
        ],
        axis=1,
    )
    running = np.zeros((count + 1, terms.shape[1]))
    np.cumsum(np.add.reduceat(terms, first, axis=0), axis=0, out=running[1:])
    high = np.maximum.reduceat(across, first, axis=0)
    low = np.minimum.reduceat(across, first, axis=0)

    begin = np.arange(count)[:, None]
    end = begin + np.arange(1, reach + 1)[None, :]
    inside = end <= count
    end = np.minimum(end, count)
    sums = running[end] - running[begin]  # (K, R, ...)
    number = len(axes)
    total, mean = sums[..., :number], sums[..., number : 2 * number]
    total = np.maximum(total, 1e-9)
    mean = mean / total
    error = np.maximum(sums[..., 2 * number : 3 * number] - mean**2 * total, 0)
    top = np.maximum.accumulate(high[end - 1], axis=1) - mean
    bottom = mean - np.minimum.accumulate(low[end - 1], axis=1)

    place = points_xy[corners] - points_xy[0]
    chord = place[end] - place[begin]
    advance = chord[..., :1] * cos + chord[..., 1:] * sin
    fits = (
        inside[..., None]
        & (top <= tolerance_px)
        & (bottom <= tolerance_px)
        & (np.abs(advance) >= _LEAST_ADVANCE_PX)
    )
    cost = error + price * np.array([axis.price for axis in axes])

    # Free walls: the smaller eigenvalue of the scatter is the error of the best line.
    n = (corners[end] - corners[begin]).astype(np.float64)
    moments = sums[..., 3 * number :]
    mean_x, mean_y = moments[..., 0] / n, moments[..., 1] / n
    xx = moments[..., 2] / n - mean_x**2
    yy = moments[..., 3] / n - mean_y**2
    xy = moments[..., 4] / n - mean_x * mean_y
    spread = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    thin = np.maximum((xx + yy) / 2 - spread, 0)
    tilt = 0.5 * np.arctan2(2 * xy, xx - yy)
    length = np.hypot(chord[..., 0], chord[..., 1])
    free_error = thin * length + free_cost
    best_axis = np.where(fits, cost, np.inf).min(axis=2)
    free_fits = (
        inside
        & ((length >= 2 * tolerance_px) | (end == begin + 1))
        & (length >= _LEAST_ADVANCE_PX)
        & (thin <= (tolerance_px / 2.5) ** 2)
        & (free_error < best_axis)
        & ~(fits.any(axis=2) & (_tilt_from(tilt, angles) < _NEAR_AXIS))
    )

    options: list[_Option] = []
    i, r, a = np.nonzero(fits)
    heading = angles[a] + np.where(advance[i, r, a] > 0, 0.0, math.pi)
    options.extend(
        zip(
            i.tolist(),
            end[i, r].tolist(),
            heading.tolist(),
            cost[i, r, a].tolist(),
            a.tolist(),
            strict=True,
        )
    )
    i, r = np.nonzero(free_fits)
    if len(i):
        backwards = np.cos(tilt[i, r]) * chord[i, r, 0] + np.sin(tilt[i, r]) * chord[i, r, 1] < 0
        heading = tilt[i, r] + np.where(backwards, math.pi, 0.0)
        options.extend(
            zip(
                i.tolist(),
                end[i, r].tolist(),
                heading.tolist(),
                free_error[i, r].tolist(),
                [-1] * len(i),
                strict=True,
            )
        )
        options.sort()
    return options


def _tilt_from(tilt: FloatArray, angles: FloatArray) -> FloatArray:
    """Smallest angle between each undirected line and any of the axes."""
    difference = (tilt[..., None] - angles + math.pi / 2) % math.pi - math.pi / 2
    nearest: FloatArray = np.abs(difference).min(axis=-1)
    return nearest


def _cheapest(
    options: Sequence[_Option],
    last: int,
    corners: IntArray,
    axes: Sequence[Axis],
    *,
    closed: bool,
) -> list[Wall]:
    """Dynamic programming over the corners; a state is a corner, a last and a first heading."""
    states: list[dict[tuple[float, float], tuple[float, tuple[float, float], _Option]]] = [
        {} for _ in range(last + 1)
    ]
    turn_round = 2 * math.pi
    for option in options:
        begin, end, heading, cost, _ = option
        target = states[end]
        if begin == 0:
            key = (heading, heading if closed else 0.0)
            known = target.get(key)
            if known is None or cost < known[0]:
                target[key] = (cost, key, option)
            continue
        for previous, state in states[begin].items():
            turn = (heading - previous[0]) % turn_round
            if turn > math.pi:
                turn = turn_round - turn
            if _LEAST_TURN <= turn <= _MOST_TURN:
                total = state[0] + cost
                key = (heading, previous[1])
                known = target.get(key)
                if known is None or total < known[0]:
                    target[key] = (total, previous, option)
    best: tuple[float, float] | None = None
    for key, state in states[last].items():
        if closed:
            turn = abs((key[1] - key[0] + math.pi) % turn_round - math.pi)
            if not _LEAST_TURN <= turn <= _MOST_TURN:
                continue
        if best is None or state[0] < states[last][best][0]:
            best = key
    if best is None:
        return []
    walls: list[Wall] = []
    place, key = last, best
    while place:
        _, previous, option = states[place][key]
        axis = axes[option[4]] if option[4] >= 0 else None
        walls.append(Wall(int(corners[option[0]]), int(corners[place]), option[2], axis))
        place, key = option[0], previous
    return walls[::-1]
