"""Cheapest: the cheapest sequence of walls along each of many chains, all chains at once.

A possible wall leads from one corner of its chain to a later one, in a direction and at a cost.
Wanted is the cheapest sequence from the first corner to the last in which consecutive walls really
turn. That is a shortest way in a graph without cycles: a *state* is a corner together with the
heading of the wall that arrives there, a *step* joins a state and a wall that begins at its corner
and turns.

In a ring the last wall must turn into the very first. A ring is therefore searched once for each
heading that its first wall may have (few: a ring starts at a corner).

All states of all chains lie in one table, and all steps in another, ordered by the corner that they
start from. Taking the corners in turn settles every chain in as many passes as the longest one has
corners, without a loop over walls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Two consecutive walls must turn by at least this much, or where they meet is ill defined, and may
# not quite double back.
_LEAST_TURN = math.radians(12)
_MOST_TURN = math.radians(176)


@dataclass(frozen=True, slots=True)
class Options:
    """The possible walls of many chains, ordered by chain and first corner.

    Attributes:
        chain: int64 `(N,)`, the chain of each wall.
        begin: int64 `(N,)`, the corner that it begins at.
        end: int64 `(N,)`, the corner that it ends at, further on.
        heading: float64 `(N,)`, its direction of travel, in radians.
        cost: float64 `(N,)`.
        axis: int64 `(N,)`, the number of the axis that it follows, or -1.
    """

    chain: IntArray
    begin: IntArray
    end: IntArray
    heading: FloatArray
    cost: FloatArray
    axis: IntArray

    def taken(self, chosen: IntArray | NDArray[np.bool_]) -> Options:
        """The chosen walls."""
        return Options(
            self.chain[chosen],
            self.begin[chosen],
            self.end[chosen],
            self.heading[chosen],
            self.cost[chosen],
            self.axis[chosen],
        )


def cheapest(options: Options, last: IntArray, closed: NDArray[np.bool_]) -> list[IntArray]:
    """The cheapest sequence of walls for each chain, as indices; empty where there is none.

    Args:
        options: possible walls.
        last: int64 `(C,)`, the last corner of each chain; the first is corner 0.
        closed: bool `(C,)`, whether it is a ring.
    """
    nothing = [np.empty(0, dtype=np.int64) for _ in last]
    if not len(options.chain):
        return nothing
    kind = _ranks(options.chain, options.heading)
    wall, search, chain_of, first_heading = _searches(options, kind, closed)
    kinds = int(kind.max()) + 1
    base = np.cumsum(last[chain_of] + 1) - (last[chain_of] + 1)

    # A state is a corner of a search and a kind of heading.
    key = (base[search] + options.end[wall]) * kinds + kind[wall]
    states, representative, target = np.unique(key, return_index=True, return_inverse=True)
    heading = options.heading[wall]
    state_heading = heading[representative]
    # The steps: every wall after every state at the corner where it begins.
    corner = (base[search] + options.begin[wall]) * kinds
    low, high = np.searchsorted(states, corner), np.searchsorted(states, corner + kinds)
    high[options.begin[wall] == 0] = 0
    low[options.begin[wall] == 0] = 0
    counts = high - low
    step = np.repeat(np.arange(len(wall)), counts)
    source = np.arange(len(step)) + np.repeat(low - np.cumsum(counts) + counts, counts)
    turns = _turns(heading[step], state_heading[source])
    step, source = step[turns], source[turns]

    start = np.flatnonzero(options.begin[wall] == 0)
    # One state more: before the first wall.
    origin = len(states)
    step = np.concatenate([start, step])
    source = np.concatenate([np.full(len(start), origin), source])
    level, goal = options.begin[wall[step]], target[step]
    order = np.argsort(level * len(states) + goal, kind="stable")
    step, source, level, goal = step[order], source[order], level[order], goal[order]
    price = options.cost[wall[step]]
    cost = np.full(len(states) + 1, np.inf)
    cost[origin] = 0.0
    _settle(cost, source, level, goal, price)

    # Of equally cheap steps the earliest is taken.
    best = np.flatnonzero(cost[source] + price == cost[goal])[::-1]
    arrival = np.full(len(states) + 1, -1)
    arrival[goal[best]] = best

    state_search = search[representative]
    state_chain = chain_of[state_search]
    final = (
        (options.end[wall[representative]] == last[state_chain])
        & np.isfinite(cost[:origin])
        & (~closed[state_chain] | _turns(first_heading[state_search], state_heading))
    )
    ends = np.flatnonzero(final)
    ends = ends[np.lexsort((cost[ends], state_chain[ends]))]
    chains, first = np.unique(state_chain[ends], return_index=True)
    place = ends[first]
    ways = np.full((int(last.max()), len(last)), -1)
    for row in ways:
        arriving = arrival[place]
        row[chains] = wall[step[arriving]]
        place = source[arriving]
        chains, place = chains[place < origin], place[place < origin]
        if not len(chains):
            break
    return [way[way >= 0][::-1] for way in ways.T]


def _ranks(chain: IntArray, heading: FloatArray) -> IntArray:
    """Headings numbered within each chain."""
    order = np.lexsort((heading, chain))
    fresh = np.ones(len(order), dtype=np.int64)
    fresh[1:] = (np.diff(chain[order]) != 0) | (np.diff(heading[order]) != 0)
    number = np.cumsum(fresh) - 1
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = number - number[np.searchsorted(chain[order], chain[order])]
    return ranks


def _searches(
    options: Options, kind: IntArray, closed: NDArray[np.bool_]
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """One search for an open chain, one for each first heading of a ring.

    Returns:
        The walls that take part in searches and the search of each, `(M,)`; the chain and the first
        heading of each search, `(S,)`.
    """
    starts = np.flatnonzero(options.begin == 0)
    width = int(kind.max()) + 1
    name = options.chain[starts] * width + np.where(closed[options.chain[starts]], kind[starts], 0)
    names, where = np.unique(name, return_index=True)
    chain_of = names // width
    first_heading = options.heading[starts[where]]
    low = np.searchsorted(chain_of, options.chain)
    counts = np.searchsorted(chain_of, options.chain, side="right") - low
    wall = np.repeat(np.arange(len(options.chain)), counts)
    search = np.arange(len(wall)) + np.repeat(low - np.cumsum(counts) + counts, counts)
    takes_part = (
        (options.begin[wall] > 0)
        | ~closed[chain_of[search]]
        | (options.heading[wall] == first_heading[search])
    )
    return wall[takes_part], search[takes_part], chain_of, first_heading


def _settle(
    cost: FloatArray, source: IntArray, level: IntArray, goal: IntArray, price: FloatArray
) -> None:
    """Fill in the least cost of every state, corner after corner; steps are ordered by both."""
    fresh = np.ones(len(goal), dtype=bool)
    fresh[1:] = (np.diff(goal) != 0) | (np.diff(level) != 0)
    bundles = np.flatnonzero(fresh)
    levels = np.flatnonzero(np.diff(level, prepend=-1))
    cuts = [*np.searchsorted(bundles, levels).tolist(), len(bundles)]
    stops = [*levels.tolist(), len(goal)]
    for number in range(len(levels)):
        a, b = stops[number], stops[number + 1]
        heads = bundles[cuts[number] : cuts[number + 1]]
        least = np.minimum.reduceat(cost[source[a:b]] + price[a:b], heads - a)
        ends = goal[heads]
        cost[ends] = np.minimum(cost[ends], least)


def _turns(heading: FloatArray, before: FloatArray) -> NDArray[np.bool_]:
    """Whether walls of one heading may follow walls of another."""
    turn = (heading - before) % (2 * math.pi)
    turn = np.minimum(turn, 2 * math.pi - turn)
    turning: NDArray[np.bool_] = (turn >= _LEAST_TURN) & (turn <= _MOST_TURN)
    return turning
