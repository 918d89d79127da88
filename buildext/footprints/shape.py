"""Shape: from pixel staircases to outlines that a cartographer would accept.

`shape_group` takes a group of touching buildings and returns each of them in the form that was
asked for, in the same order, in the same plane (pixels, x = column, y = row). It never drops a
building. How far it got is said by `reg_status`:

- `regularised`: every wall was drawn by `regularize`, or the outline is a circle;
- `simplified`: at least part of the outline is only simplified, because walls drawn there would
  have left the tolerance, crossed one another or covered a neighbour;
- `kept`: the pixels' own outline.

The result depends neither on the order of the members nor on where in the scene the group lies:
all work is done in coordinates relative to the group's own corner, and the results are rounded to
2⁻¹⁶ pixel, which adding the corner back leaves exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from buildext.footprints.raw import RawBuilding, RawGroup
from buildext.footprints.regularize import Draft, RegularMode, draw, prepare
from buildext.footprints.simplify import pixel_outlines, smooth_outlines
from buildext.footprints.topology import cut_into_arcs

ShapeMode = Literal["none", "simplify", "right-angles", "right-angles-and-diagonals", "any-angle"]
RegStatus = Literal["regularised", "simplified", "kept"]

# Below two pixels the tolerance would follow the noise of the mask itself.
_LEAST_TOLERANCE_PX = 2.0
_ROUNDING = 2.0**16
# Attempts at leaving out the arcs that went wrong, before a group is simplified as a whole.
_ATTEMPTS = 5
# The tolerance of the second attempt, as a share of the first.
_CLOSER = 0.5
# A triangle may be removed up to the area of a square as wide as the tolerance, and three pixels at
# least: a step of half a pixel along a long wall is a large triangle.
_LEAST_SQUARE_PX = 3.0
# Shares of that width, tried in turn until the outline keeps to the tolerance.
_SIMPLER = (1.0, 0.5, 0.25)
# A corner between two walls that moved by the tolerance each has moved by √2 of it.
_CORNER_REACH = 2**0.5
# The area of a building may change by this share at most.
_LARGEST_CHANGE = 0.35


@dataclass(frozen=True, slots=True)
class ShapeOptions:
    """How outlines are to be shaped.

    Attributes:
        mode: `none` keeps the pixels, `simplify` only removes vertices, the others regularise.
        tolerance_m: how far a boundary may move, in metres; two pixels at least.
    """

    mode: ShapeMode = "right-angles"
    tolerance_m: float = 0.6

    def tolerance_px(self, gsd_m: float) -> float:
        """The tolerance in pixels of `gsd_m` metres."""
        return max(self.tolerance_m / gsd_m, _LEAST_TOLERANCE_PX)


@dataclass(frozen=True, slots=True)
class ShapedBuilding:
    """A building with its final outline, still in the grid plane.

    Attributes:
        polygon: the outline, in pixels.
        raw: what it was made from.
        reg_status: how far the shaping got.
    """

    polygon: Polygon
    raw: RawBuilding
    reg_status: RegStatus


def shape_group(group: RawGroup, options: ShapeOptions, gsd_m: float) -> list[ShapedBuilding]:
    """Shape a group of touching buildings; walls that two of them share stay shared.

    Args:
        group: the buildings, in grid-plane pixels.
        options: what is asked for.
        gsd_m: metres per pixel.
    """
    return shape_groups([group], options, gsd_m)[0]


def shape_groups(
    groups: Sequence[RawGroup], options: ShapeOptions, gsd_m: float
) -> list[list[ShapedBuilding]]:
    """Shape many groups at once, which is several times as fast as one after the other.

    The result is the same, to the last bit, as that of `shape_group` for each.
    """
    if options.mode == "none":
        return [[ShapedBuilding(raw.polygon, raw, "kept") for raw in group] for group in groups]
    if not any(groups):
        return [[] for _ in groups]
    tolerance_px = options.tolerance_px(gsd_m)
    batch = _Batch.of(groups, tolerance_px)
    if options.mode == "simplify":
        shaped, statuses = _simplified(batch, tolerance_px)
    else:
        shaped, statuses = _regularised(batch, options.mode, tolerance_px)
    shift = np.repeat(batch.origin_xy, shapely.get_num_coordinates(shaped), axis=0)
    placed = shapely.transform(shaped, lambda xy: xy + shift)
    result: list[list[ShapedBuilding | None]] = [[None] * len(group) for group in groups]
    for group, place, polygon, status in zip(
        batch.group.tolist(), batch.place.tolist(), placed, statuses, strict=True
    ):
        result[group][place] = ShapedBuilding(polygon, groups[group][place], status)
    return [[building for building in members if building is not None] for members in result]


@dataclass(frozen=True, slots=True)
class _Batch:
    """The buildings of many groups, each group in coordinates counted from its own corner.

    Attributes:
        polygons: `(N,)`, group after group, sorted so that the order of members does not matter.
        group: int64 `(N,)`, the group of each.
        place: int64 `(N,)`, its place among the members.
        origin_xy: float64 `(N, 2)`, the corner of its group.
        shelf: int64 `(N,)`, rows to move it down by so that groups do not meet.
    """

    polygons: NDArray[np.object_]
    group: NDArray[np.int64]
    place: NDArray[np.int64]
    origin_xy: NDArray[np.float64]
    shelf: NDArray[np.int64]

    @classmethod
    def of(cls, groups: Sequence[RawGroup], tolerance_px: float) -> _Batch:
        polygons = np.array([raw.polygon for group in groups for raw in group], dtype=object)
        group = np.repeat(np.arange(len(groups)), [len(members) for members in groups])
        place = np.concatenate([np.arange(len(members)) for members in groups])
        bounds = shapely.bounds(polygons)
        order = np.lexsort((*bounds.T, group))
        polygons, group, place, bounds = polygons[order], group[order], place[order], bounds[order]
        first = np.flatnonzero(np.diff(group, prepend=-1))
        number = np.cumsum(np.diff(group, prepend=-1) > 0) - 1
        origin_xy = np.minimum.reduceat(bounds[:, :2], first, axis=0)
        height = np.maximum.reduceat(bounds[:, 3], first) - origin_xy[:, 1]
        # What has moved no further than it may stays on its own shelf.
        height += math.ceil(2 * _CORNER_REACH * tolerance_px) + 2
        shelf = (np.cumsum(height) - height).astype(np.int64)
        origin_xy = origin_xy[number]
        shift = np.repeat(origin_xy, shapely.get_num_coordinates(polygons), axis=0)
        local = shapely.transform(polygons, lambda xy: xy - shift)
        return cls(local, group, place, origin_xy, shelf[number])

    def taken(self, chosen: NDArray[np.bool_]) -> _Batch:
        """The chosen buildings."""
        return _Batch(
            self.polygons[chosen],
            self.group[chosen],
            self.place[chosen],
            self.origin_xy[chosen],
            self.shelf[chosen],
        )

    def stacked(self, polygons: NDArray[np.object_], sign: int = 1) -> NDArray[np.object_]:
        """Polygons on their shelves, or taken down: exact for all multiples of 2⁻¹⁶."""
        shift = np.repeat(sign * self.shelf, shapely.get_num_coordinates(polygons))
        down = np.stack([np.zeros(len(shift)), shift], axis=1)
        moved: NDArray[np.object_] = shapely.transform(polygons, lambda xy: xy + down)
        return moved


_Shaped = tuple[NDArray[np.object_], list[RegStatus]]


def _simplified(batch: _Batch, tolerance_px: float) -> _Shaped:
    """Simplified outlines; the members of a group where that went wrong are kept as they are."""
    topology = cut_into_arcs(batch.polygons.tolist(), batch.shelf)
    smooth = batch.stacked(np.array(smooth_outlines(topology)))
    shaped = np.array(pixel_outlines(topology))
    kept = np.ones(len(shaped), dtype=bool)
    for share in _SIMPLER:
        part = batch.taken(kept)
        square_px = share * max(tolerance_px, _LEAST_SQUARE_PX)
        simple = shapely.coverage_simplify(smooth[kept], square_px)
        simple = part.stacked(simple, sign=-1)
        wrong = _whole_groups(part, wrong_members(part, simple, tolerance_px))
        done = np.flatnonzero(kept)[~wrong]
        shaped[done] = simple[~wrong]
        kept[done] = False
        if not kept.any():
            break
    return shaped, ["kept" if member else "simplified" for member in kept.tolist()]


def _regularised(batch: _Batch, mode: RegularMode, tolerance_px: float) -> _Shaped:
    """Regularised outlines; groups in which one went wrong are mended.

    The walls of what went wrong are drawn closer to the pixels, then left out.
    """
    draft = prepare(cut_into_arcs(batch.polygons.tolist(), batch.shelf), mode, tolerance_px)
    count = len(batch.polygons)
    shaped = np.empty(count, dtype=object)
    statuses: list[RegStatus] = ["kept"] * count
    left = np.arange(count)
    tried = np.zeros(count, dtype=np.int64)
    for _ in range(_ATTEMPTS):
        outlines = _outlines(draft, tolerance_px)
        wrong = wrong_members(batch, outlines, tolerance_px)
        failing = _whole_groups(batch, wrong)
        _settle(shaped, statuses, left[~failing], outlines[~failing], _statuses(draft, ~failing))
        left, wrong = left[failing], wrong[failing]
        if not len(left):
            return shaped, statuses
        batch, draft = batch.taken(failing), draft.taken(failing)
        tried[left[wrong]] += 1
        closer, without = [], set()
        failed, times = wrong.tolist(), tried[left].tolist()
        for number, arc in enumerate(draft.topology.arcs):
            if any(failed[owner] for owner in arc.owners):
                if max(times[owner] for owner in arc.owners) == 1:
                    closer.append(number)
                else:
                    without.add(number)
        draft = draft.without({*closer, *without})
        draft = draft.divided(closer, mode, _CLOSER * tolerance_px)
    _settle(shaped, statuses, left, *_simplified(batch, tolerance_px))
    return shaped, statuses


def _settle(
    shaped: NDArray[np.object_],
    statuses: list[RegStatus],
    members: NDArray[np.int64],
    outlines: NDArray[np.object_],
    how: Sequence[RegStatus],
) -> None:
    """Put the final outlines of some buildings into the result; in place."""
    shaped[members] = outlines
    for member, status in zip(members.tolist(), how, strict=True):
        statuses[member] = status


def _outlines(draft: Draft, tolerance_px: float) -> NDArray[np.object_]:
    lines = draw(draft, tolerance_px)
    rounded = np.round(np.concatenate(lines) * _ROUNDING) / _ROUNDING
    cuts = np.cumsum([0, *map(len, lines)]).tolist()
    return np.array(draft.topology.outlines([rounded[a:b] for a, b in pairwise(cuts)]))


def _statuses(draft: Draft, chosen: NDArray[np.bool_]) -> list[RegStatus]:
    """A building is regularised where all its boundary is made of walls."""
    return [
        "regularised"
        if all(draft.regular(arc) for ring in rings for arc, _ in ring)
        else "simplified"
        for rings in compress(draft.topology.rings, chosen.tolist())
    ]


def _whole_groups(batch: _Batch, members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All members of the groups that hold one of the given members."""
    return np.isin(batch.group, batch.group[members])


def wrong_members(
    batch: _Batch, shaped: NDArray[np.object_], tolerance_px: float
) -> NDArray[np.bool_]:
    """Which shaped outlines are invalid, moved too far, changed too much or overlap another."""
    wrong: NDArray[np.bool_] = ~shapely.is_valid(shaped)
    fine = np.flatnonzero(~wrong)
    before, after = batch.polygons[fine], shaped[fine]
    far = fine[shapely.hausdorff_distance(before, after) > _CORNER_REACH * tolerance_px]
    wrong[far] = _moved_too_far(batch.polygons[far], shaped[far], tolerance_px)
    area = shapely.area(before)
    wrong[fine] |= np.abs(shapely.area(after) - area) > _LARGEST_CHANGE * area
    # An outline that went astray may lie across the shelves of other groups.
    together = ~wrong & (np.bincount(batch.group)[batch.group] > 1)
    if together.any():
        stacked = batch.taken(together).stacked(shaped[together])
        wrong[together] |= ~shapely.is_empty(shapely.coverage_invalid_edges(stacked))
    return wrong


def _moved_too_far(
    before: NDArray[np.object_], after: NDArray[np.object_], tolerance_px: float
) -> NDArray[np.bool_]:
    """Whether more than slots and wisps narrower than the tolerance has gone.

    A slot that is closed, or a wisp that is cut off, moves its tip far but changes next to nothing:
    what counts is that no corner stands away from the old outline and that the area between the two
    outlines is narrow everywhere.
    """
    corners, owner = shapely.get_coordinates(after, return_index=True)
    away = shapely.distance(shapely.points(corners), shapely.boundary(before)[owner])
    too_far = np.zeros(len(after), dtype=bool)
    too_far[owner[away > _CORNER_REACH * tolerance_px]] = True
    near = np.flatnonzero(~too_far)
    between = shapely.symmetric_difference(before[near], after[near])
    parts, part_of = shapely.get_parts(between, return_index=True)
    area = shapely.area(parts)
    left, top, right, bottom = shapely.bounds(parts).T
    # Nothing smaller than an octagon of the width that counts can be wide, or narrower than it.
    radius_px = tolerance_px / 2
    large = (area > 2.8 * radius_px**2) & (np.minimum(right - left, bottom - top) > 1.8 * radius_px)
    parts, area, part_of = parts[large], area[large], near[part_of[large]]
    # One wide part is enough, and the largest is the likeliest to be.
    order = np.lexsort((-area, part_of))
    parts, part_of = parts[order], part_of[order]
    largest = np.diff(part_of, prepend=-1) > 0
    for chosen in (largest, ~largest):
        asked = np.flatnonzero(chosen & ~too_far[part_of])
        wide = ~shapely.is_empty(shapely.buffer(parts[asked], -radius_px, quad_segs=2))
        too_far[part_of[asked[wide]]] = True
    return too_far
